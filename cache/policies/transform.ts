import type {Factory} from '../../base/options.js';
import {type TransformOptions, transform as transformCodec, transformEntries} from '../codecs/transform.js';
import type {Policy} from '../contract.js';
import {type KeepOptions, definePolicy, keepEntries} from './define.js';

export interface TransformPolicyOptions extends TransformOptions, KeepOptions {}

/**
 * Stores codes of few bits in the metric of the model's loss, calibrated per model: see the codec of the same name. The first `sinks`
 * tokens stay exact, and new ones until 16 of them wait.
 */
export const transform: Factory<TransformPolicyOptions, Policy> = definePolicy(
  'transform',
  {...transformEntries, ...keepEntries},
  ({sinks, keep, ...coding}) => ({sinks, recent: 0, keep, store: transformCodec(coding)}),
);
