import * as tf from '@tensorflow/tfjs';

/** `rotate` in plain tfjs ops. */
export function rotateReference(
  {x, cos, sin}: {x: tf.Tensor; cos: tf.Tensor; sin: tf.Tensor},
  {interleaved}: {interleaved: boolean},
): tf.Tensor {
  const [batch, heads, tokens, dim] = x.shape as [number, number, number, number];
  const pairs = cos.shape[1]!;
  const rest = tf.slice(x, [0, 0, 0, 2 * pairs], [-1, -1, -1, dim - 2 * pairs]);
  const rotated = tf.slice(x, [0, 0, 0, 0], [-1, -1, -1, 2 * pairs]);
  const turn = (a: tf.Tensor, b: tf.Tensor) =>
    [tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))] as const;
  if (!interleaved) {
    const [a, b] = turn(...(tf.split(rotated, 2, 3) as [tf.Tensor, tf.Tensor]));
    return tf.concat([a, b, rest], 3);
  }
  const asPairs = tf.reshape(rotated, [batch, heads, tokens, pairs, 2]);
  const [even, odd] = tf.unstack(asPairs, 4) as [tf.Tensor, tf.Tensor];
  const [a, b] = turn(even, odd);
  return tf.concat([tf.reshape(tf.stack([a, b], 4), [batch, heads, tokens, 2 * pairs]), rest], 3);
}
