import {InvalidArgumentError} from '../../../../base/errors.js';
import type {TaskSetting} from '../task.js';
import {tokensIn} from './words.js';

/** Longer sentences are passed over, this many in a row, before a gap is left. */
const mostPassedOver = 20;

/** Tokens that a tokenizer may put around a text. */
const specialTokens = 2;

/** Sentences of a text one after the other, from a random one on. */
class Prose {
  private readonly sentences: readonly string[];
  private next: number;

  /** @throws InvalidArgumentError if the text has no sentence. */
  constructor(
    private readonly setting: Pick<TaskSetting, 'prose' | 'tokenizer'>,
    random: () => number,
  ) {
    this.sentences = sentencesOf(setting.prose);
    if (this.sentences.length === 0) {
      throw new InvalidArgumentError(
        'The text has no sentences to put between what is asked for: give one with capital letters and full stops.',
      );
    }
    this.next = Math.floor(random() * this.sentences.length);
  }

  /** Returns sentences of at most this many tokens together. */
  upTo(tokens: number): {readonly sentences: readonly string[]; readonly tokens: number} {
    const sentences: string[] = [];
    let left = tokens;
    for (let passed = 0; passed < mostPassedOver;) {
      const sentence = this.sentences[this.next++ % this.sentences.length]!;
      const needed = tokensIn(this.setting.tokenizer, ` ${sentence}`);
      if (needed > left) {
        passed++;
        continue;
      }
      sentences.push(sentence);
      left -= needed;
    }
    return {sentences, tokens: tokens - left};
  }
}

/** Returns the tokens of a sentence of the prose: the mean over some of all its parts. */
export function tokensOfSentence({prose, tokenizer}: Pick<TaskSetting, 'prose' | 'tokenizer'>): number {
  const sentences = sentencesOf(prose);
  const stride = Math.ceil(sentences.length / 64);
  const some = sentences.filter((_, i) => i % stride === 0);
  return some.length === 0 ? 1 : Math.ceil(tokensIn(tokenizer, some.join(' ')) / some.length);
}

function sentencesOf(text: string): readonly string[] {
  return text.replaceAll(/\s+/g, ' ').match(/[A-Z][^.?!]*[.?!]/g) ?? [];
}

/** What is put into prose. */
export interface Inserts {
  /** The task's name, for the error. */
  readonly task: string;
  /** Sentences, in the order in which they come. */
  readonly inserts: readonly string[];
  /** Where they are, as rising shares of the prose from 0 to 1. Default: in the middles of equal parts. */
  readonly places?: readonly number[];
  /** Begins the context. Default: none. */
  readonly opening?: string;
}

/**
 * Returns prose with sentences in it, and the sentences of the prose alone.
 * @throws InvalidArgumentError if `tokens` has no room for them and as much prose.
 */
export function woven(
  {task, inserts, places = middles(inserts.length), opening}: Inserts,
  {tokens, ...setting}: TaskSetting,
  random: () => number,
): {readonly context: string; readonly sentences: readonly string[]} {
  const fixed = [...(opening === undefined ? [] : [opening]), ...inserts];
  const needed = fixed.reduce((sum, text) => sum + tokensIn(setting.tokenizer, ` ${text}`), specialTokens);
  expectRoom(task, tokens, 2 * needed);
  const prose = new Prose(setting, random);
  const parts = opening === undefined ? [] : [opening];
  const all: string[] = [];
  let used = 0;
  for (const [i, place] of [...places, 1].entries()) {
    const {sentences, tokens: fresh} = prose.upTo(Math.floor(place * (tokens - needed)) - used);
    parts.push(...sentences, ...inserts.slice(i, i + 1));
    all.push(...sentences);
    used += fresh;
  }
  return {context: parts.join(' '), sentences: all};
}

const middles = (count: number) => Array.from({length: count}, (_, i) => (i + 0.5) / count);

/** @throws InvalidArgumentError if a context is shorter than a task needs. */
export function expectRoom(task: string, tokens: number, needed: number): void {
  if (tokens >= needed) return;
  throw new InvalidArgumentError(
    `The task ${task} has no room in a context of ${tokens} tokens; give it at least ${needed}.`,
  );
}
