import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {atLeast, callback, numberWithin, positiveNumber, probability} from '../../base/options.js';
import {KVCache} from '../../cache/kv_cache.js';
import type {PlanLike} from '../../cache/plans/as_plan.js';
import {expectList, isIdList} from '../../cache/sharing/id_list.js';
import {PrefixCache} from '../../cache/sharing/prefix_cache.js';
import {progressEntries} from '../progress.js';

/** How the next token is chosen from the logits. */
export interface SamplingOptions {
  /** The logits are divided by this. Default 0: always the most probable token (greedy). */
  readonly temperature?: number;
  /** Sample from the k most probable tokens. Default: from all. */
  readonly topK?: number;
  /** Sample from the fewest most probable tokens whose probabilities sum to at least this, in (0, 1]. Default 1: from all. */
  readonly topP?: number;
  /**
   * Sample from tokens whose probability is at least this share of the most probable one's, in [0, 1] (Nguyen et al., 2024, arXiv 2407.01082).
   * Default 0: from all.
   */
  readonly minP?: number;
  /**
   * Sample from the tokens whose `-log p` is nearest to the entropy, as many as sum to at least this probability, in (0, 1] (Meister et al.,
   * 2022, arXiv 2202.00666). Default 1: from all.
   */
  readonly typicalP?: number;
  /**
   * Logits of tokens of the prompt and of the answer are divided by this if positive, multiplied if negative (Keskar et al., 2019,
   * arXiv 1909.05858). Above 1 avoids repetitions. Default 1.
   */
  readonly repetitionPenalty?: number;
  /** Subtracted from the logits of tokens that were generated already. Default 0. */
  readonly presencePenalty?: number;
  /** Subtracted from the logit of a token for each time that it was generated already. Default 0. */
  readonly frequencyPenalty?: number;
  /** By id, added to the logits: -Infinity forbids a token. Default: none. */
  readonly logitBias?: LogitBias;
}

/** Numbers by token id: `new Map([[17, -Infinity]])`, or `{17: -100}`. */
export type LogitBias = ReadonlyMap<number, number> | Readonly<Record<number, number>>;

/**
 * Changes the logits, in place, before a token is chosen.
 *
 * @param logits one per token of the vocabulary, after `logitBias` and the penalties, before `temperature`. -Infinity forbids a token.
 * @param ids all ids so far that are known: what the chat's cache holds, the prompt, the generated ones.
 * @param start where the generated ones begin in `ids`.
 */
export type LogitProcessor = (
  logits: Float32Array,
  ids: readonly number[],
  start: number,
) => void | Promise<void>;

/** A generated token and how probable the model found it: natural logarithms of `softmax(logits)`, whatever options sampled it. */
export interface GeneratedToken {
  readonly id: number;
  readonly logprob: number;
  /** The most probable tokens, as many as `logprobs` asks for, by descending probability. */
  readonly top: readonly {readonly id: number; readonly logprob: number}[];
}

/** Options of `generate` for ids. */
export interface GenerateIdsOptions extends SamplingOptions {
  /** Which policy stores each depth's keys and values. Default: what the model's layers ask for, else `full()`. */
  readonly plan?: PlanLike;
  /**
   * A cache to continue, instead of `plan`. However the generation ends, it then holds the prompt and every generated token except the
   * end token. Default: a new cache, disposed of at the end.
   */
  readonly cache?: KVCache;
  /** The most tokens to generate. Default: 256, or fewer if the context has no room for them. */
  readonly tokens?: number;
  /** Tokens of the prompt per forward pass. Default 128. */
  readonly chunk?: number;
  /** The seed of the random numbers that sample: the same seed gives the same tokens. Default: a new one each time. */
  readonly seed?: number;
  /** Ids that end the text; they are not yielded. Default: the tokenizer's `eosIds`, none for a model without one. */
  readonly eosIds?: readonly number[];
  /** Called one after the other, after the penalties. Default: none. */
  readonly processors?: readonly LogitProcessor[];
  /** Called with each generated token before it is given out; not with the end token. */
  readonly onToken?: (token: GeneratedToken) => void;
  /** How many of the most probable tokens `onToken` gets beside the chosen one; needs `onToken` if there are any. Default 0. */
  readonly logprobs?: number;
  /**
   * Prefixes of prompts that were computed before; those of this prompt are added. Used if the cache is empty. The tokens are the
   * same as without it if `chunk` divides `prefixes.chunkTokens` or the policy is exact. Default: none.
   */
  readonly prefixes?: PrefixCache;
  /** Aborting it ends the generation with its reason, an AbortError by default. */
  readonly signal?: AbortSignal;
  /** Called after each forward pass of the prompt, with the tokens of the prompt that are done. */
  readonly onProgress?: (progress: {readonly done: number; readonly total: number}) => void;
}

/** Options of `generate` for texts and messages. */
export interface GenerateOptions extends GenerateIdsOptions {
  /** The text ends before the first of these. Default: none. */
  readonly stop?: readonly string[];
}

const temperature = 'expected a number >= 0';
const seed = 'expected a whole number';
const stop = 'expected a list of texts, none of them empty';
const penalty = 'expected a number';
const bias = 'expected a Map or an object from ids to numbers below Infinity';
const processors = 'expected a list of functions (logits, ids, start)';

const samplingEntries = {
  temperature: v.optional(v.pipe(v.number(temperature), v.finite(temperature), v.minValue(0, temperature))),
  topK: v.optional(atLeast(1)),
  topP: v.optional(probability),
  minP: v.optional(numberWithin(0, 1)),
  typicalP: v.optional(probability),
  repetitionPenalty: v.optional(positiveNumber),
  presencePenalty: v.optional(v.pipe(v.number(penalty), v.finite(penalty))),
  frequencyPenalty: v.optional(v.pipe(v.number(penalty), v.finite(penalty))),
  logitBias: v.optional(v.custom<LogitBias>(isBias, bias)),
};

export const samplingSchema = v.strictObject(samplingEntries);

export const generateEntries = {
  ...samplingEntries,
  ...progressEntries,
  plan: v.optional(v.custom<PlanLike>(() => true)), // KVCache reads it
  cache: v.optional(v.instance(KVCache, 'expected a KVCache, such as new KVCache(model, plan)')),
  tokens: v.optional(atLeast(1)),
  chunk: v.optional(atLeast(1), 128),
  seed: v.optional(v.pipe(v.number(seed), v.safeInteger(seed))),
  processors: v.optional(v.array(callback<LogitProcessor>(), processors), []),
  onToken: v.optional(callback<NonNullable<GenerateIdsOptions['onToken']>>()),
  logprobs: v.optional(atLeast(0), 0),
  eosIds: v.optional(v.custom<readonly number[]>(areEndIds, 'expected a list of ids')),
  prefixes: v.optional(v.instance(PrefixCache, 'expected a PrefixCache')),
};

/** Options for ids, checked and with their defaults. */
export const generateIdsSchema = v.strictObject(generateEntries);

export const stopEntry = v.optional(v.array(v.pipe(v.string(stop), v.nonEmpty(stop)), stop), []);

/** @throws InvalidArgumentError if log-probabilities are asked for, and nobody gets them. */
export function expectListener({
  logprobs = 0,
  onToken,
}: Pick<GenerateIdsOptions, 'logprobs' | 'onToken'>): void {
  if (logprobs === 0 || onToken !== undefined) return;
  throw new InvalidArgumentError(
    `logprobs = ${logprobs} without onToken, which gets them; give a function, {onToken: token => ...}, or leave logprobs out.`,
  );
}

/** Options for texts and messages. */
export const generateSchema = v.strictObject({
  ...generateEntries,
  stop: stopEntry,
});

/** The ids and their numbers. Ids in objects are texts. */
export function biasEntries(given: LogitBias): (readonly [id: number, bias: number])[] {
  const pairs: Iterable<readonly [unknown, number]> = isMap(given) ? given : Object.entries(given);
  return Array.from(pairs, ([id, bias]) => [Number(id), bias]);
}

const isMap = (given: LogitBias): given is ReadonlyMap<number, number> => given instanceof Map;

function isBias(given: unknown): boolean {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return false;
  return biasEntries(given as LogitBias).every(
    ([id, bias]) => Number.isInteger(id) && typeof bias === 'number' && bias < Infinity,
  );
}

function areEndIds(given: unknown): boolean {
  expectList(given, 'eosIds'); // its message knows tensors
  return isIdList(given);
}
