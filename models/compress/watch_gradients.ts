import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import type {Watcher} from '../../cache/watch/watched_cache.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import {type DenseAttention, nameOf, takesCache} from '../adapters/index.js';
import {OwnAttention} from './own_attention.js';

/**
 * Shows a watcher, in place of keys and values, their gradients: what a change of each token's key (not rotated) and value costs,
 *
 *     g = d (sum_t ln p(y_t)) / dk        with y_t drawn from the model's own probabilities of the token after t
 *
 * To second order a change dk costs `KL(exact || changed) = 1/2 E[(g . dk)^2]`, the Fisher information. It includes what softmax
 * makes of a score at any distance, and what later depths make of an output. So the Gram matrices of g weigh directions in nats,
 * in one unit at all depths. (Fisher-weighted factors: Hsu et al., 2022, arXiv 2207.00112; ranks of a cache by it: Palu, Chang et
 * al., 2024, arXiv 2407.21118.)
 *
 * @param ids one text in one pass: all activations are in memory until the gradients are computed.
 * @param seed of the drawn tokens.
 * @throws InvalidArgumentError if a layer takes no cache.
 */
export function watchGradients(
  model: tf.LayersModel,
  attentions: readonly DenseAttention[],
  ids: readonly number[],
  {watcher, seed}: {readonly watcher: Watcher; readonly seed: number},
): void {
  const foreign = attentions.find(({layer}) => !takesCache(layer));
  if (foreign !== undefined) {
    throw new InvalidArgumentError(
      `Gradients need attention layers of eigenkv, and ${nameOf(foreign.layer)} is not one; calibrate without gradientTokens.`,
    );
  }
  tf.tidy(() => {
    const input = tf.tensor2d([...ids], [1, ids.length], 'int32');
    const drawn = tf.tidy(() => drawnTokens(model.apply(input) as tf.Tensor3D, seed));
    const shifts = attentions.flatMap(({kvHeads, headDim}) =>
      [0, 1].map(() => tf.zeros<tf.Rank.R4>([1, kvHeads, ids.length, headDim])),
    );
    const likelihood = (...changed: tf.Tensor[]) => {
      const shifted = new OwnAttention((depth, fresh) => ({
        ...fresh,
        keys: tf.add(fresh.keys, changed[2 * depth]!),
        values: tf.add(fresh.values, changed[2 * depth + 1]!),
      }));
      return tf.sum(tf.mul(drawn, tf.logSoftmax(model.apply(input, {cache: shifted}) as tf.Tensor)));
    };
    const gradients = tf.grads(likelihood)(shifts) as tf.Tensor4D[];
    attentions.forEach(({headDim, rope}, depth) => {
      const [keys, values] = [gradients[2 * depth]!, gradients[2 * depth + 1]!];
      // rotations are orthonormal, so the gradient of a rotated key is the rotated gradient
      const rotation = rope && rotationFor(rope, headDim, 0, ids.length);
      watcher.see(depth, {queries: keys, keys, values, start: 0, rope, rotation}, values);
    });
  });
}

/** One token per row of logits, drawn by its probability (with Gumbel noise), one-hot: the shape of the logits. */
function drawnTokens(logits: tf.Tensor3D, seed: number): tf.Tensor {
  const uniform = tf.randomUniform(logits.shape, 1e-9, 1, 'float32', seed);
  const noise = tf.neg(tf.log(tf.neg(tf.log(uniform))));
  return tf.oneHot(tf.argMax(tf.add(logits, noise), -1), logits.shape[2]);
}
