import * as tf from '@tensorflow/tfjs';

/**
 * What `value` gives, with a gradient of our own where somebody asks for one. Where nobody does, not even the work of
 * offering it: a token of decoding runs hundreds of ops whose kernels take less time than that.
 *
 * @param inputs what the result is differentiable in.
 * @param saved what the gradient needs: the caller's tidy may have ended before the backward pass.
 * @param gradient from dy and `saved`, one for each input.
 */
export function differentiable(
  inputs: readonly tf.Tensor[],
  saved: readonly tf.Tensor[],
  value: () => tf.Tensor,
  gradient: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor | tf.Tensor[],
): tf.Tensor {
  if (tf.engine().state.gradientDepth === 0) return value();
  return tf.customGrad((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
    (args.at(-1) as tf.GradSaveFunc)([...saved]);
    return {value: value(), gradFunc: gradient};
  })(...inputs);
}
