import * as tf from '@tensorflow/tfjs';

/** One tensor, or two of the same tokens. */
export type RotateInputs = {
  x0: tf.Tensor4D;
  x1?: tf.Tensor4D | undefined;
  cos: tf.Tensor2D;
  sin: tf.Tensor2D;
};

export interface RotateAttributes {
  readonly interleaved: boolean;
}

/** `rotateBoth`, or `rotate` without x1, in plain tfjs ops. */
export function rotateBothReference(
  {x0, x1, cos, sin}: RotateInputs,
  attributes: RotateAttributes,
): tf.Tensor4D[] {
  return [x0, ...(x1 ? [x1] : [])].map(x => rotateReference({x, cos, sin}, attributes));
}

/** `rotate` in plain tfjs ops. */
export function rotateReference(
  {x, cos, sin}: {readonly x: tf.Tensor4D; readonly cos: tf.Tensor2D; readonly sin: tf.Tensor2D},
  {interleaved}: RotateAttributes,
): tf.Tensor4D {
  const [batch, heads, tokens, dim] = x.shape;
  const pairs = cos.shape[1];
  const paired = tf.slice(x, [0, 0, 0, 0], [-1, -1, -1, 2 * pairs]);
  const rest = tf.slice(x, [0, 0, 0, 2 * pairs], [-1, -1, -1, dim - 2 * pairs]);
  const [a, b] = interleaved
    ? tf.unstack(tf.reshape(paired, [batch, heads, tokens, pairs, 2]), 4)
    : tf.split(paired, 2, 3);
  const rotated = [tf.sub(tf.mul(a!, cos), tf.mul(b!, sin)), tf.add(tf.mul(b!, cos), tf.mul(a!, sin))];
  const joined = tf.reshape<tf.Rank.R4>(
    interleaved ? tf.stack(rotated, 4) : tf.concat(rotated, 3),
    paired.shape,
  );
  return tf.concat([joined, rest], 3);
}
