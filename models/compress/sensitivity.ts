import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../../cache/kv_cache.js';
import {waitingEvents} from '../generate/event_loop.js';
import type {RopeMode} from '../../layers/index.js';
import type {Side} from './allotment.js';
import type {DepthBases} from './depth_bases.js';
import {TruncatedCache} from './truncated_cache.js';

export interface SensitivityOptions {
  readonly onProgress?: (progress: {readonly done: number; readonly total: number}) => void;
  readonly signal?: AbortSignal;
}

/** Where a side's sensitivity is measured: its predicted error is largest and safest there while the model still works. */
const measuredShare = 0.25;

/**
 * What an error of each side costs the model: one side of one depth is truncated to a quarter of its dimensions, everything
 * else is exact, and the divergence of the next tokens' probabilities, KL(exact || truncated), is divided by the side's
 * predicted relative error. Small errors cost in proportion, so that water-filling by these minimises the divergence.
 *
 * @param ids some hundred tokens, not more than the model's context.
 */
export async function withSensitivities(
  model: tf.LayersModel,
  ids: readonly number[],
  sides: readonly Omit<Side, 'sensitivity'>[],
  bases: readonly DepthBases[],
  ropeMode: RopeMode,
  {onProgress, signal}: SensitivityOptions = {},
): Promise<Side[]> {
  const exact = logProbabilities(model, ids, bases, ropeMode, new Map());
  const measured: Side[] = [];
  try {
    for (const [done, side] of sides.entries()) {
      const rank = Math.max(1, Math.round(measuredShare * (side.errors.length - 1)));
      const ranks = new Map([[side.depth, {[side.side]: rank}]]);
      const divergence = tf.tidy(() => {
        const truncated = logProbabilities(model, ids, bases, ropeMode, ranks);
        return tf.mean(tf.sum(tf.mul(tf.exp(exact), tf.sub(exact, truncated)), -1));
      });
      const [kl = 0] = await divergence.data<'float32'>();
      divergence.dispose();
      const error = side.errors[rank]!;
      measured.push({...side, sensitivity: error > 0 ? Math.max(kl, 0) / error : 0});
      onProgress?.({done: done + 1, total: sides.length});
      await waitingEvents();
      signal?.throwIfAborted();
    }
    return measured;
  } finally {
    exact.dispose();
  }
}

/** `[1, tokens, vocabSize]`, of one step through a truncated cache. */
function logProbabilities(
  model: tf.LayersModel,
  ids: readonly number[],
  bases: readonly DepthBases[],
  ropeMode: RopeMode,
  ranks: ConstructorParameters<typeof TruncatedCache>[3],
): tf.Tensor {
  const full = new KVCache(model, {name: 'full'});
  const cache = new TruncatedCache(full, bases, ropeMode, ranks);
  try {
    return tf.tidy(() => {
      const input = tf.tensor2d([...ids], [1, ids.length], 'int32');
      return tf.logSoftmax(model.apply(input, {cache}) as tf.Tensor);
    });
  } finally {
    cache.dispose();
    full.dispose();
  }
}
