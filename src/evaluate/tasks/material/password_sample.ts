import type {TaskSample, TaskSetting} from '../task.js';
import {choices, passwords} from './facts.js';
import {woven} from './prose.js';
import {names, shuffled, wordsFor} from './words.js';

/** Eight passwords in prose, each asked for. @param task its name, for the error. */
export function passwordSample(task: string, setting: TaskSetting, random: () => number): TaskSample {
  const words = shuffled(wordsFor(setting.tokenizer), random).slice(0, choices);
  const {inserts, questions} = passwords(shuffled(names, random).slice(0, choices), words);
  const opening = 'Remember the passwords.';
  return {context: woven({task, inserts, opening}, setting, random).context, questions};
}
