import * as v from 'valibot';
import {type Factory, atLeast} from '../../base/options.js';
import {transform, transformEntries, type TransformOptions} from '../codecs/transform.js';
import {bitsOption} from '../codecs/transform_profile/bits.js';
import type {Budget, Policy} from '../contract.js';
import {byteBudget} from '../keepers/budget.js';
import {heaviest} from '../keepers/heaviest.js';
import {type SinkOptions, definePolicy, sinkEntries} from './define.js';

export interface MixedOptions extends SinkOptions, Pick<TransformOptions, 'profile'> {
  /** Bytes per text and depth, on average: `'96kB'`, the default. The `sinks` and up to 15 tokens that wait to be stored are beside it. */
  readonly budget?: Exclude<Budget, number>;
  /** Bits of the levels, the most first: see `transform`. Default `'4.5/2.3/0.8'`. */
  readonly bits?: TransformOptions['bits'];
  /** How many of the newest stored tokens keep the most bits whatever their scores; half of the budget at most. Default 64. */
  readonly near?: number;
}

const entries = {
  budget: v.optional(byteBudget, '96kB'),
  bits: v.optional(bitsOption, '4.5/2.3/0.8'),
  near: v.optional(atLeast(0), 64),
  profile: transformEntries.profile,
  ...sinkEntries,
};

/**
 * Bits by what is read, in a number of bytes that does not grow: a token begins with the most bits; while the budget is full, the tokens that
 * received least attention per query lose bits, level by level, and then are evicted. (Mixed precision by importance: MiKV, Yang et al., 2024,
 * arXiv 2402.18096; ZipCache, He et al., 2024, arXiv 2405.14256. Here the codes of a level are those of `transform`.) It is
 * `transform({bits, near, keep: heaviest({budget})})`; `transform` takes other keepers.
 */
export const mixed: Factory<MixedOptions, Policy> = definePolicy(
  'mixed',
  entries,
  ({budget, sinks, ...coding}) => ({sinks, recent: 0, keep: heaviest({budget}), store: transform(coding)}),
);
