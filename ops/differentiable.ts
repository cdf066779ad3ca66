import * as tf from '@tensorflow/tfjs';

/** Whether a gradient is being computed, so that ops must be differentiable. */
export function recordsGradient(): boolean {
  return tf.engine().state.gradientDepth > 0;
}

export type Gradient<Result, Saved, Gradients> = (dy: Result, saved: Saved) => Gradients;

/**
 * The result of `value`, with a gradient of our own if one is being computed. If not, there is not even the cost of
 * registering it: decoding one token runs hundreds of ops whose kernels take less time than that.
 *
 * @param inputs what the result is differentiable in.
 * @param saved what the gradient needs: the caller's tidy may have ended before the backward pass.
 * @param gradient from dy and `saved`, one for each input: a function that computes all of them, or one function for each input, of
 *   which only those run whose gradients are asked for (weights that are not trained need none).
 */
export function differentiable<const Saved extends readonly tf.Tensor[], Result extends tf.Tensor>(
  inputs: readonly tf.Tensor[],
  saved: Saved,
  value: () => Result,
  gradient: Gradient<Result, Saved, tf.Tensor | tf.Tensor[]> | readonly Gradient<Result, Saved, tf.Tensor>[],
): Result {
  if (!recordsGradient()) return value();
  if (typeof gradient === 'function') return node(inputs, saved, value, gradient);
  // tfjs leaves out nodes that nobody asks for, but computes the gradients of all inputs of a node: so each input has a node of its
  // own, all with the same result, and one more joins them
  let result: Result | undefined;
  const shared = () => {
    if (result === undefined) return (result = value());
    return tf.reshape<tf.Rank>(result, result.shape) as Result; // a clone would be recorded as another way to the result
  };
  const nodes = inputs.map((input, i) =>
    // tidied, or what all gradients of a model take in between would stay until its last one is there
    node([input], saved, shared, (dy, tensors: Saved) => tf.tidy(() => gradient[i]!(dy, tensors))),
  );
  return node(nodes, [], shared, dy => nodes.map(() => dy));
}

function node<Saved extends readonly tf.Tensor[], Result extends tf.Tensor>(
  inputs: readonly tf.Tensor[],
  saved: Saved,
  value: () => Result,
  gradient: Gradient<Result, Saved, tf.Tensor | tf.Tensor[]>,
): Result {
  return tf.customGrad<Result>((...args: (tf.Tensor | tf.GradSaveFunc)[]) => {
    (args.at(-1) as tf.GradSaveFunc)([...saved]);
    return {
      value: value(),
      gradFunc: (dy: Result, tensors: readonly tf.Tensor[]) => gradient(dy, tensors as unknown as Saved),
    };
  })(...inputs);
}
