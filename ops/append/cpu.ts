import type * as tf from '@tensorflow/tfjs';

/** Copies the first `rows` rows of `fresh` into `buffer` from row `at` on; on cpu, `dataSync` is the tensor's own memory. */
export function appendRowsCpu(buffer: tf.Tensor4D, fresh: tf.Tensor4D, at: number, rows: number): void {
  const [batch, heads, capacity, columns] = buffer.shape;
  const stride = fresh.shape[2];
  /* eslint-disable no-restricted-syntax -- on cpu this reads nothing: it is the tensor's own memory */
  const target = buffer.dataSync();
  const source = fresh.dataSync();
  /* eslint-enable no-restricted-syntax */
  for (let head = 0; head < batch * heads; head++) {
    const from = head * stride * columns;
    target.set(source.subarray(from, from + rows * columns), (head * capacity + at) * columns);
  }
}
