import * as v from 'valibot';
import {type Factory, atLeast} from '../../base/options.js';
import {type Float8Options, float8 as float8Codec, float8Entries} from '../codecs/float8.js';
import {codecPair} from '../codecs/pair.js';
import type {Policy} from '../contract.js';
import {
  type KeepOptions,
  type ReadOptions,
  definePolicy,
  keepEntries,
  readEntries,
  residualOption,
} from './define.js';

export interface Float8PolicyOptions extends Float8Options, KeepOptions, ReadOptions {
  /** The fewest last tokens that stay exact. Default 0: a token is exact in its own step. */
  readonly residual?: number;
}

/**
 * Stores 8-bit floating-point numbers with one scale per token and head (Micikevicius et al., 2022, arXiv 2209.05433). The first
 * `sinks` and the last `residual` tokens stay exact, and up to 15 more, because tokens are encoded 16 at a time.
 */
export const float8: Factory<Float8PolicyOptions, Policy> = definePolicy(
  'float8',
  {...float8Entries, residual: v.optional(atLeast(0), 0), ...keepEntries, ...readEntries},
  ({format, residual, sinks, keep, skipValues}) => {
    const codec = float8Codec({format});
    const store = codecPair({keys: codec, values: codec});
    return {sinks, recent: residual, recentOption: residualOption, keep, store, skipValues};
  },
);
