import * as v from 'valibot';
import {type Factory, atLeast} from '../../base/options.js';
import {type AdaptiveCodecOptions, adaptive as adaptiveCodec, adaptiveEntries} from '../codecs/adaptive.js';
import type {Policy} from '../contract.js';
import {type KeepOptions, definePolicy, keepEntries} from './define.js';

export interface AdaptiveOptions extends AdaptiveCodecOptions, KeepOptions {
  /** The fewest last tokens that stay exact, at least 1. Default 32. */
  readonly residual?: number;
}

/**
 * Stores each block of tokens in the fewest bits (2, 4, 8 or float32) that keep the measured error of the attention output within
 * `tolerance`: see the codec of the same name. The first `sinks` and the last `residual` tokens stay exact.
 */
export const adaptive: Factory<AdaptiveOptions, Policy> = definePolicy(
  'adaptive',
  {...adaptiveEntries, residual: v.optional(atLeast(1), 32), ...keepEntries},
  ({tolerance, groupSize, residual, sinks, keep}) => ({
    sinks,
    recent: residual,
    keep,
    store: adaptiveCodec({tolerance, groupSize}),
  }),
);
