import * as v from 'valibot';
import {atLeast, probability} from '../../base/options.js';
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

const samplingEntries = {
  temperature: v.optional(v.pipe(v.number(temperature), v.finite(temperature), v.minValue(0, temperature))),
  topK: v.optional(atLeast(1)),
  topP: v.optional(probability),
};

export const samplingSchema = v.strictObject(samplingEntries);

const generateEntries = {
  ...samplingEntries,
  ...progressEntries,
  plan: v.optional(v.custom<PlanLike>(() => true)), // KVCache reads it
  cache: v.optional(v.instance(KVCache, 'expected a KVCache, such as new KVCache(model, plan)')),
  tokens: v.optional(atLeast(1)),
  chunk: v.optional(atLeast(1), 128),
  seed: v.optional(v.pipe(v.number(seed), v.safeInteger(seed))),
  eosIds: v.optional(v.custom<readonly number[]>(areEndIds, 'expected a list of ids')),
  prefixes: v.optional(v.instance(PrefixCache, 'expected a PrefixCache')),
};

/** Options for ids, checked and with their defaults. */
export const generateIdsSchema = v.strictObject(generateEntries);

/** Options for texts and messages. */
export const generateSchema = v.strictObject({
  ...generateEntries,
  stop: v.optional(v.array(v.pipe(v.string(stop), v.nonEmpty(stop)), stop), []),
});

function areEndIds(given: unknown): boolean {
  expectList(given, 'eosIds'); // its message knows tensors
  return isIdList(given);
}
