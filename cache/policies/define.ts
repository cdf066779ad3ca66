import * as v from 'valibot';
import {type Factory, atLeast, defineFactory, jsonOptions, numberWithin} from '../../base/options.js';
import type {Policy} from '../contract.js';
import {type StoreLike, storeOption} from '../codecs/as_store.js';
import {type KeeperLike, keeperOption} from '../keepers/as_keeper.js';

/** Options of every lossy policy. */
export interface SinkOptions {
  /** First tokens of the text that stay exact (attention sinks: Xiao et al., 2023, arXiv 2309.17453). Default 4. */
  readonly sinks?: number;
}

/** Options of a policy that defines how tokens are stored; `keep` chooses which stay. */
export interface KeepOptions extends SinkOptions {
  /** Which tokens stay: a keeper, its name, its text such as `'dropKv:queries=16'`, or its name and options. Default `'all'`. */
  readonly keep?: KeeperLike;
}

/** Options of a policy that defines which tokens stay; `store` chooses how they are stored. */
export interface StoringOptions extends SinkOptions {
  /**
   * How kept tokens are stored: a codec, its name, its text such as `'integer:bits=4'`, its name and options, options of `integer`, or
   * `{keys, values}` with one of these for each. Default `'dense'` (exact).
   */
  readonly store?: StoreLike;
}

/** Options of policies whose values decoding may leave unread. */
export interface ReadOptions {
  /**
   * The part of a query's attention, 0 to 1, that values may have together which decoding does not read; an output changes by at most this times
   * the largest value. Usually a thirtieth of it is left out. Steps of few tokens on the wasm backend only. Default: all are read.
   */
  readonly skipValues?: number;
}

export const readEntries = {skipValues: v.optional(numberWithin(0, 1))};

export const sinkEntries = {sinks: v.optional(atLeast(0), 4)};
export const keepEntries = {...sinkEntries, keep: v.optional(keeperOption, 'all')};
export const storeEntries = {...sinkEntries, store: v.optional(storeOption, 'dense')};

/** `Policy.recentOption` where the option is called `residual`. */
export const residualOption = (tokens: number) => `residual: ${tokens}`;

/**
 * Makes the factory of a preset.
 * @param entries the valibot schema of each option, with its default.
 * @param partsOf returns the parts of the policy from the checked options.
 */
export function definePolicy<Given extends object, const Entries extends v.ObjectEntries = v.ObjectEntries>(
  name: string,
  entries: Entries,
  partsOf: (
    checked: v.InferOutput<v.StrictObjectSchema<Entries, undefined>>,
  ) => Pick<Policy, 'sinks' | 'recent' | 'recentOption' | 'keep' | 'store' | 'skipValues'>,
): Factory<Given, Policy> {
  return defineFactory(name, entries, checked => ({
    name,
    options: jsonOptions(checked),
    ...partsOf(checked),
  }));
}
