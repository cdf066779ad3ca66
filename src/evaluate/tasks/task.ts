import * as v from 'valibot';
import {atLeast, checkOptions} from '../../../base/options.js';
import type {Tokenizer} from '../../../models/tokenizer/index.js';

/** A question about a context, and what counts as its answer. */
export interface TaskQuestion {
  /**
   * A turn before the question, with its answer: the cache takes it in as a step of its own, and evicts and compresses after it. Default:
   * none, the question follows the context.
   */
  readonly earlier?: string;
  readonly question: string;
  /** The kind of question, if a task has several: each has rows of its own. Default: none. */
  readonly kind?: string;
  /** The beginning of the answer, after which the model continues. The question may be empty if this is not. */
  readonly answerPrefix: string;
  /** The right answer; several if a file says so. Written as it follows the prefix: with its space. */
  readonly answers: readonly string[];
  /** Answers to choose from, the first of `answers` among them. Default: none, only what the model writes counts. */
  readonly candidates?: readonly string[];
  /** `exact`: the written text is the answer. `contains`: the share of the answers that occur in it, in any case. Default `exact`. */
  readonly match?: 'exact' | 'contains';
  /** Tokens to write. Default: those of the longest answer. */
  readonly newTokens?: number;
}

/** A context, and questions about it that are asked independently of each other. */
export interface TaskSample {
  readonly context: string;
  readonly questions: readonly TaskQuestion[];
}

/** What a sample is made from. The same setting gives the same sample. */
export interface TaskSetting {
  /** A whole number. */
  readonly seed: number;
  /** The most tokens of the context. */
  readonly tokens: number;
  readonly tokenizer: Pick<Tokenizer, 'encode'>;
  /** The text whose sentences stand between what is asked for. */
  readonly prose: string;
}

/** A kind of question that can be asked at any length. */
export interface Task {
  /** The name in tables and on the command line, in camelCase. */
  readonly name: string;
  /** What the model has to do, in a few words. */
  readonly description: string;
  /**
   * Makes a context of at most `tokens` tokens and questions about it: a pure function of the setting.
   * @throws InvalidArgumentError if `tokens` has no room for what is asked for.
   */
  sample(setting: TaskSetting): TaskSample;
}

/** Questions that were read from a file. */
export interface TaskFile {
  /** The name in tables. */
  readonly name: string;
  readonly samples: readonly TaskSample[];
}

/** A task by its name, one of your own, or one from a file. */
export type TaskLike = string | Task | TaskFile;

const text = v.string('expected a text');
const texts = v.array(text, 'expected a list of texts');

/** What plain JavaScript may get wrong in a sample. */
const sampleSchema = v.strictObject({
  context: text,
  questions: v.array(
    v.strictObject({
      earlier: v.optional(text),
      question: text,
      kind: v.optional(text),
      answerPrefix: text,
      answers: texts,
      candidates: v.optional(texts),
      match: v.optional(v.picklist(['exact', 'contains'], 'expected "exact" or "contains"')),
      newTokens: v.optional(atLeast(1)),
    }),
    'expected a list of questions',
  ),
});

/** @throws InvalidArgumentError if what a task of that name has, or makes, is no sample. */
export function checkSample(name: string, sample: TaskSample): void {
  checkOptions(`A sample of the task ${name}`, sampleSchema, sample);
}
