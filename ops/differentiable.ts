import * as tf from '@tensorflow/tfjs';

/** Whether a gradient is being computed, so that ops must be differentiable. */
export function recordsGradient(): boolean {
  return tf.engine().state.gradientDepth > 0;
}

/**
 * The result of `value`, with a gradient of our own if one is being computed. If not, there is not even the cost of
 * registering it: decoding one token runs hundreds of ops whose kernels take less time than that.
 *
 * @param inputs what the result is differentiable in.
 * @param saved what the gradient needs: the caller's tidy may have ended before the backward pass.
 * @param gradient from dy and `saved`, one for each input.
 */
export function differentiable<const Saved extends readonly tf.Tensor[], Result extends tf.Tensor>(
  inputs: readonly tf.Tensor[],
  saved: Saved,
  value: () => Result,
  gradient: (dy: Result, saved: Saved) => tf.Tensor | tf.Tensor[],
): Result {
  if (!recordsGradient()) return value();
  return tf.customGrad<Result>((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
    (args.at(-1) as tf.GradSaveFunc)([...saved]);
    return {
      value: value(),
      gradFunc: (dy: Result, tensors: readonly tf.Tensor[]) => gradient(dy, tensors as Saved),
    };
  })(...inputs);
}
