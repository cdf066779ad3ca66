import * as tf from '@tensorflow/tfjs';

/** `mergePartials` in plain tfjs ops. */
export function mergePartialsReference(inputs: Record<string, tf.Tensor>): tf.Tensor {
  const partials = Object.values(inputs).map(partial => {
    const dim = partial.shape[3]! - 2;
    const [output, max, sum] = tf.split(partial, [dim, 1, 1], 3) as [tf.Tensor, tf.Tensor, tf.Tensor];
    return {output, max, sum};
  });
  const largest = partials.map(({max}) => max).reduce((a, b) => tf.maximum(a, b));
  const shift = tf.where(tf.greater(largest, -Infinity), largest, tf.zerosLike(largest));
  const factors = partials.map(({max}) => tf.exp(tf.sub(max, shift)));
  const output = tf.addN(partials.map((partial, i) => tf.mul(partial.output, factors[i]!)));
  const sum = tf.addN(partials.map((partial, i) => tf.mul(partial.sum, factors[i]!)));
  return tf.divNoNan(output, sum);
}
