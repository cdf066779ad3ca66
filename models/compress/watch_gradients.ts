import type {AttentionCache} from '../../cache/attention_cache.js';
import type {FreshTokens} from '../../cache/past/fresh_tokens.js';
import * as tf from '@tensorflow/tfjs';
import type {Watcher} from '../../cache/watch/watched_cache.js';
import {attendOverItself} from '../../layers/cached_attention.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import type {DenseAttention} from '../adapters/index.js';

/**
 * Shows a watcher, in place of keys and values, what a change of them costs: of each token's key (not rotated) and value the gradient
 *
 *     g = d (sum_t ln p(y_t)) / dk        with y_t drawn from the model's own probabilities of the token behind t
 *
 * To second order a change dk costs `KL(exact || changed) = 1/2 E[(g . dk)^2]`, the Fisher information: what softmax makes of
 * a score, at whatever distance, and what the depths behind make of an output are in it. So the Gram matrices of g weigh
 * directions in nats, alike at all depths. (Fisher-weighted factors: Hsu et al., 2022, arXiv 2207.00112; ranks of a cache by it:
 * Palu, Chang et al., 2024, arXiv 2407.21118.)
 *
 * @param ids one text, all at once: every activation is in memory until the gradients are there.
 * @param seed of the drawn tokens.
 * @throws InvalidArgumentError where a layer takes no cache.
 */
export function watchGradients(
  model: tf.LayersModel,
  attentions: readonly DenseAttention[],
  ids: readonly number[],
  {watcher, seed}: {readonly watcher: Watcher; readonly seed: number},
): void {
  const stranger = attentions.find(({layer}) => !('layerShape' in layer));
  if (stranger !== undefined) {
    throw new InvalidArgumentError(
      `Gradients are taken through layers of eigenkv, and "${stranger.layer.name}" is another's; calibrate without gradients.`,
    );
  }
  tf.tidy(() => {
    const input = tf.tensor2d([...ids], [1, ids.length], 'int32');
    const drawn = tf.tidy(() => drawnTokens(model.apply(input) as tf.Tensor3D, seed));
    const shifts = attentions.flatMap(({kvHeads, headDim}) => [
      tf.zeros<tf.Rank.R4>([1, kvHeads, ids.length, headDim]),
      tf.zeros<tf.Rank.R4>([1, kvHeads, ids.length, headDim]),
    ]);
    const likelihood = (...changed: tf.Tensor[]) => {
      const logits = model.apply(input, {cache: new ShiftedAttention(changed as tf.Tensor4D[])}) as tf.Tensor;
      return tf.sum(tf.mul(drawn, tf.logSoftmax(logits)));
    };
    const gradients = tf.grads(likelihood)(shifts) as tf.Tensor4D[];
    attentions.forEach(({headDim, rope}, depth) => {
      const [keys, values] = [gradients[2 * depth]!, gradients[2 * depth + 1]!];
      // a gradient turns as what it is of: rotations are orthonormal
      const rotation = rope && rotationFor(rope, headDim, 0, ids.length);
      watcher.see(depth, {queries: keys, keys, values, start: 0, rope, rotation}, values);
    });
  });
}

/** Attention of a text over itself, with something added to each depth's keys and values; differentiable in both. */
class ShiftedAttention implements AttentionCache {
  readonly tokens = 0;

  constructor(private readonly shifts: readonly tf.Tensor4D[]) {}

  attend(depth: number, {keys, values, ...fresh}: FreshTokens): tf.Tensor4D {
    return attendOverItself({
      ...fresh,
      keys: tf.add(keys, this.shifts[2 * depth]!),
      values: tf.add(values, this.shifts[2 * depth + 1]!),
    });
  }
}

/** A token for each row of logits, drawn by its probability (by Gumbel's noise), as 1 among zeros. */
function drawnTokens(logits: tf.Tensor3D, seed: number): tf.Tensor {
  const uniform = tf.randomUniform(logits.shape, 1e-9, 1, 'float32', seed);
  const noise = tf.neg(tf.log(tf.neg(tf.log(uniform))));
  return tf.oneHot(tf.argMax(tf.add(logits, noise), -1), logits.shape[2]);
}
