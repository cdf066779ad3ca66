import * as tf from '@tensorflow/tfjs';
import type {RopeMode} from '../../layers/index.js';
import {type ProgressOptions, countProgress} from '../progress.js';
import type {DepthBases} from './depth_bases.js';
import {OwnAttention} from './own_attention.js';
import type {Curve, Side} from './error_curves.js';
import {truncated} from './truncate.js';

/** The rank at which sensitivities are measured, as a share of the dim: a large error, at which the model still works. */
const measuredShare = 0.25;

/**
 * What an error of each side costs the model: one side of one depth is truncated to a quarter of its dimensions and everything
 * else is exact. The divergence of the next tokens' probabilities, KL(exact || truncated), is divided by the side's predicted
 * relative error. Small errors cost in proportion, so water-filling by these minimises the divergence.
 *
 * @param ids one text, a few hundred tokens; at most the model's context.
 */
export async function withSensitivities(
  model: tf.LayersModel,
  ids: readonly number[],
  curves: readonly Curve[],
  bases: readonly DepthBases[],
  ropeMode: RopeMode,
  progress: ProgressOptions,
): Promise<Side[]> {
  const measured = countProgress(curves.length, progress);
  const exact = logProbabilities(model, ids, new OwnAttention((_, fresh) => fresh));
  const sides: Side[] = [];
  try {
    for (const curve of curves) {
      const rank = Math.max(1, Math.round(measuredShare * (curve.errors.length - 1)));
      const divergence = tf.tidy(() => {
        const attention = new OwnAttention((depth, fresh) =>
          depth === curve.depth ? truncated(fresh, bases[depth]!, ropeMode, {[curve.side]: rank}) : fresh,
        );
        const other = logProbabilities(model, ids, attention);
        return tf.mean(tf.sum(tf.mul(tf.exp(exact), tf.sub(exact, other)), -1));
      });
      const [kl = 0] = await divergence.data<'float32'>();
      divergence.dispose();
      const error = curve.errors[rank]!;
      sides.push({...curve, sensitivity: error > 0 ? Math.max(kl, 0) / error : 0});
      await measured(1);
    }
    return sides;
  } finally {
    exact.dispose();
  }
}

/** `[1, tokens, vocabSize]` */
function logProbabilities(model: tf.LayersModel, ids: readonly number[], cache: OwnAttention): tf.Tensor {
  return tf.tidy(() => {
    const input = tf.tensor2d([...ids], [1, ids.length], 'int32');
    return tf.logSoftmax(model.apply(input, {cache}) as tf.Tensor);
  });
}
