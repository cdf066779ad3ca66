import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../batched_matmul/index.js';
import {differentiable} from '../differentiable.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {readableNumbers} from '../host_numbers.js';
import {defineOp, runOp} from '../run_op.js';
import {type PackedMatrix, checkPacked, isPacked} from '../weights/matrix.js';
import {embedReference} from './reference.js';
import './tensorflow.js';
import {embedWasm} from './wasm.js';
import {embedWebgpu} from './webgpu.js';

/**
 * Rows of a table by id: `out[b, t] = table[ids[b, t]]`. Differentiable in a float32 table on every backend (the gradient of
 * tf.gather needs a kernel that wasm lacks): dTable = onehot(ids)^T dy. Rows of a packed table are decoded as `unpack` does.
 *
 * @param ids int32 `[batch, tokens]`, each from 0 to rows - 1.
 * @param table float32 `[rows, dim]`, or packed, with `dim` inputs and `rows` outputs: the same records serve `lmHead`.
 * @returns float32 `[batch, tokens, dim]`.
 * @throws InvalidArgumentError if packed records do not fit their matrix; and if an id names no row, on backends that can be read
 *   synchronously (others differ in what they do with such an id; GPUs give zeros or the row of another id).
 */
export function embed(ids: tf.Tensor2D, table: tf.Tensor2D | PackedMatrix): tf.Tensor3D {
  const rows = isPacked(table) ? table.outputs : table.shape[0];
  checkIds(ids, rows);
  if (ids.dtype !== 'int32') return tf.tidy(() => embed(tf.cast(ids, 'int32'), table));
  if (isPacked(table)) {
    const {records, format, inputs: dim} = table;
    checkPacked(table);
    return runOp(embedOp, {ids, table: records}, {format, rows, dim});
  }
  const dim = table.shape[1];
  return differentiable(
    [table],
    [ids],
    () => runOp(embedOp, {ids, table}, {format: 'float32', rows, dim}),
    (dy, [saved]) => {
      // cast, since on wasm oneHot gives the bits of integers whatever dtype is asked for
      const chosen = tf.cast(tf.oneHot(tf.reshape<tf.Rank.R1>(saved, [-1]), rows) as tf.Tensor2D, 'float32');
      return batchedMatMul(chosen, tf.reshape<tf.Rank.R2>(dy, [-1, dim]), {transposeA: true});
    },
  );
}

/** Kernels read the rows that ids name, whatever they are. */
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

const embedOp = defineOp({
  name: 'Embed',
  reference: embedReference,
  kernels: {wasm: embedWasm, webgpu: embedWebgpu},
});
