import {seededRandom} from '../../../../base/random.js';
import {copies} from '../material/copies.js';
import {assignments, choices, letterInstructions, pairs, passwords} from '../material/facts.js';
import {woven} from '../material/prose.js';
import {names, shuffled, wordsFor} from '../material/words.js';
import type {Task, TaskQuestion} from '../task.js';

/** Questions of five tasks about one context, which is taken in once for all of them. */
export const mixed: Task = {
  name: 'mixed',
  description: 'questions of multiKey, kv, variables, copy and instructions about one context',
  sample: setting => {
    const random = seededRandom(setting.seed);
    const words = parts(shuffled(wordsFor(setting.tokenizer), random), choices);
    const people = parts(shuffled(names, random), choices);
    const facts = {
      multiKey: passwords(people[0]!, words[0]!),
      kv: pairs(people[1]!, words[1]!),
      variables: assignments(random),
      instructions: letterInstructions(people[2]!.slice(0, 2), words[2]!),
    };
    const {instructions, ...others} = facts;
    // an assignment comes before the one that passes it on, wherever the shuffle puts them
    const inserts = inOrder(
      Object.values(others).map(each => each.inserts),
      random,
    );
    const places = [0, ...inserts.map((_, i) => (i + 0.5) / inserts.length)];
    const all = {task: 'mixed', inserts: [...instructions.inserts, ...inserts], places};
    const {context, sentences} = woven(all, setting, random);
    const asked = {...facts, copy: {questions: copies(context, shuffled(sentences, random), choices)}};
    const questions = Object.entries(asked).flatMap(([kind, of]) =>
      of.questions.map((question): TaskQuestion => ({...question, kind})),
    );
    return {context, questions: shuffled(questions, random)}; // so that the first ones are of every kind
  },
};

/** Parts of a list, of this length each. */
function parts<T>(list: readonly T[], length: number): T[][] {
  return Array.from({length: Math.floor(list.length / length)}, (_, i) =>
    list.slice(i * length, (i + 1) * length),
  );
}

/** Merges lists in random order; entries of one list keep theirs. */
function inOrder<T>(lists: readonly (readonly T[])[], random: () => number): T[] {
  const order = shuffled(
    lists.flatMap((list, i) => list.map(() => i)),
    random,
  );
  const next = lists.map(() => 0);
  return order.map(i => lists[i]![next[i]!++]!);
}
