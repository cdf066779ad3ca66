import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {requireExactIntegers} from '../exact_integers.js';
import {expectRank4, type Encoding, headsOf, mapTensors} from '../encodings/encoding.js';
import {defineOp, runOp} from '../run_op.js';
import {indicesOutside} from './checks.js';
import {gatherRowsReference} from './reference.js';
import {gatherRowsWasm} from './wasm.js';
import {gatherRowsWebgpu} from './webgpu.js';

/**
 * Which tokens of each key head: int32 `[batch, kvHeads, kept]`, or the same numbers of the host, row by row. Each names
 * a row that exists; any order, and repetitions, are fine.
 */
export type TokenIndices = tf.Tensor3D | Int32Array;

/**
 * The encoding that keeps only some tokens of each key head, in the order of their indices. Rows are copied as they are, so
 * no number changes, and the result holds exactly `kept` rows: what is left out is freed with the old encoding. Tensors that
 * all tokens share (a basis, a mean) are the same tensors in both encodings.
 *
 * @throws InvalidArgumentError where an index names no token, or where tokens share scales (integers grouped along
 *   tokens, `groupAxis: 'channel'`): evict from an encoding that scales each token by itself. BackendError where codes would
 *   have to be copied by a backend without exact 32-bit integers.
 */
export function gatherTokens<F extends Encoding>(encoding: F, indices: TokenIndices): F {
  const {batch, kvHeads} = headsOf(encoding);
  return mapTensors(encoding, (tensor, name, tokensPerRow) => {
    if (tokensPerRow === Infinity) return tensor;
    if (tokensPerRow !== 1) {
      throw new InvalidArgumentError(
        `Tokens of integer codes with groupAxis 'channel' share the scales of ${tokensPerRow} tokens (${name}), so single ` +
          "ones cannot be kept: use groupAxis 'token', float8 or dense.",
      );
    }
    return tf.tidy(() => gatherRows(tensor, asTensor(indices, batch, kvHeads, tensor.shape[2])));
  });
}

/**
 * Rows of each head by their indices: for what goes with the tokens of an encoding, such as positions and scores.
 *
 * @param data float32 or int32 `[batch, kvHeads, rows, columns]`.
 * @returns `[batch, kvHeads, kept, columns]` of the same dtype.
 * @throws InvalidArgumentError where an index names no row; on webgpu, which cannot read a tensor at once, only where indices
 *   are the host's: one in a tensor gives a row of zeros there.
 */
export function gatherRows(data: tf.Tensor4D, indices: TokenIndices): tf.Tensor4D {
  expectRank4(data, 'data');
  const [batch, kvHeads] = data.shape;
  if (data.dtype === 'int32') requireExactIntegers('Integer codes and positions');
  return tf.tidy(() =>
    runOp(gatherRowsOp, {data, indices: asTensor(indices, batch, kvHeads, data.shape[2])}, {}),
  ) as tf.Tensor4D;
}

function asTensor(indices: TokenIndices, batch: number, kvHeads: number, rows: number): tf.Tensor3D {
  const heads = batch * kvHeads;
  if (indices instanceof Int32Array) {
    if (indices.length % heads !== 0) {
      throw new InvalidArgumentError(
        `${indices.length} indices do not divide among ${batch} x ${kvHeads} heads: give each head as many.`,
      );
    }
    const outside = indices.filter(index => index < 0 || index >= rows);
    if (outside.length > 0) throw indicesOutside(outside.length, rows);
    return tf.tensor3d(indices, [batch, kvHeads, indices.length / heads], 'int32');
  }
  const [indexBatch, indexHeads] = indices.shape;
  if (indices.rank !== 3 || indices.dtype !== 'int32' || indexBatch !== batch || indexHeads !== kvHeads) {
    throw new InvalidArgumentError(
      `indices are ${indices.dtype} [${indices.shape.join(', ')}]; expected int32 [${batch}, ${kvHeads}, kept].`,
    );
  }
  return indices;
}

export const gatherRowsOp = defineOp<{data: tf.Tensor; indices: tf.Tensor}, object>({
  name: 'GatherRows',
  reference: gatherRowsReference,
  kernels: {wasm: gatherRowsWasm, webgpu: gatherRowsWebgpu},
});
