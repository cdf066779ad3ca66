import * as tf from '@tensorflow/tfjs';
import {differentiable} from '../differentiable.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {readableNumbers} from '../host_numbers.js';
import {unpack} from '../unpack/index.js';
import {type PackedMatrix, isPacked} from '../weights/matrix.js';

/**
 * Rows of a table by id: `out[b, t] = table[ids[b, t]]`. Differentiable in the table on every backend (the gradient of
 * tf.gather needs a kernel that wasm lacks): dTable = onehot(ids)^T dy.
 *
 * @param ids int32 `[batch, tokens]`, each from 0 to rows - 1.
 * @param table float32 `[rows, dim]`, or packed, with `dim` inputs and `rows` outputs.
 * @returns float32 `[batch, tokens, dim]`.
 * @throws InvalidArgumentError if an id names no row, on backends that can be read synchronously (others differ in what they do
 *   with such an id; GPUs give zeros or the row of another id).
 */
export function embed(ids: tf.Tensor2D, table: tf.Tensor2D | PackedMatrix): tf.Tensor3D {
  if (isPacked(table)) return tf.tidy(() => embed(ids, tf.transpose(unpack(table))));
  const [batch, tokens] = ids.shape;
  const [rows, dim] = table.shape;
  checkIds(ids, rows);
  const flat: tf.Tensor1D = tf.cast(tf.reshape(ids, [batch * tokens]), 'int32');
  const looked = differentiable(
    [table],
    [flat],
    () => tf.gather(table, flat),
    (dy, [savedIds]) => tf.matMul(tf.transpose(tf.oneHot(savedIds, rows) as tf.Tensor2D), dy),
  );
  return tf.reshape(looked, [batch, tokens, dim]);
}

function checkIds(ids: tf.Tensor2D, rows: number): void {
  const numbers = readableNumbers(ids);
  if (numbers === undefined) return;
  for (let at = 0; at < numbers.length; at++) {
    const id = numbers[at]!;
    if (id >= 0 && id < rows && Number.isInteger(id)) continue;
    const [text, token] = [Math.floor(at / ids.shape[1]), at % ids.shape[1]];
    throw new InvalidArgumentError(
      `The id of token ${token} of text ${text} is ${id}; expected a whole number from 0 to ${rows - 1}.`,
    );
  }
}
