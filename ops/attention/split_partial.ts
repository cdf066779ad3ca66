import * as tf from '@tensorflow/tfjs';

/** The parts of a partial float32 `[..., dim + 2]`: output `[..., dim]`, largest score and sum `[..., 1]` (see `attend`). */
export function splitPartial(partial: tf.Tensor4D): {
  output: tf.Tensor4D;
  max: tf.Tensor4D;
  sum: tf.Tensor4D;
} {
  const dim = partial.shape[3] - 2;
  const part = (from: number, columns: number) => tf.slice(partial, [0, 0, 0, from], [-1, -1, -1, columns]);
  return {output: part(0, dim), max: part(dim, 1), sum: part(dim + 1, 1)};
}
