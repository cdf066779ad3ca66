import * as tf from '@tensorflow/tfjs';
import {tensorflowEager} from '../backends/tensorflow_eager.js';

/** Copies the first `rows` rows of `fresh` into `buffer` from row `at` on, by TensorFlow's InplaceUpdate. */
export function appendRowsTensorflow(
  buffer: tf.Tensor4D,
  fresh: tf.Tensor4D,
  at: number,
  rows: number,
): void {
  const [batch, heads, capacity, columns] = buffer.shape;
  const indices = new Int32Array(batch * heads * rows);
  for (let head = 0, i = 0; head < batch * heads; head++) {
    for (let row = 0; row < rows; row++) indices[i++] = head * capacity + at + row;
  }
  tf.tidy(() => {
    const taken = rows === fresh.shape[2] ? fresh : tf.slice(fresh, [0, 0, 0, 0], [-1, -1, rows, -1]);
    // reshaping copies nothing: this writes into the buffer itself
    const flatBuffer = tf.reshape<tf.Rank.R2>(buffer, [batch * heads * capacity, columns]);
    const flatRows = tf.reshape<tf.Rank.R2>(taken, [batch * heads * rows, columns]);
    tensorflowEager()!.inplaceUpdate(flatBuffer, tf.tensor1d(indices, 'int32'), flatRows);
  });
}
