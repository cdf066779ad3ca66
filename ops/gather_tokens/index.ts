import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {requireExactIntegers} from '../exact_integers.js';
import {
  capacityOf,
  expectRank4,
  mapTensors,
  tensorsOf,
  type Encoding,
  type LloydMaxEncoding,
} from '../encodings/encoding.js';
import {tokenEncodingOf} from '../encodings/low_rank.js';
import {gatherTiled} from '../gather_tiled/index.js';
import {defineOp, runOp} from '../run_op.js';
import {indicesOutside} from './checks.js';
import {gatherRowsReference} from './reference.js';
import './tensorflow.js';
import {gatherRowsWasm} from './wasm.js';
import {gatherRowsWebgpu} from './webgpu.js';

/**
 * Which tokens, or which blocks of tokens, of each key head: int32 `[batch, kvHeads, kept]`, or the same numbers on the host, row
 * by row. Each names one that exists; any order and repetitions are fine.
 */
export type TokenIndices = tf.Tensor3D | Int32Array;

/** The encoding that keeps only some tokens of each key head: `gatherBlocks` with blocks of one token. */
export function gatherTokens<E extends Encoding>(encoding: E, indices: TokenIndices): E {
  return gatherBlocks(encoding, indices, 1);
}

/**
 * The encoding that keeps only some blocks of tokens of each key head, in the order of their indices. Index i stands for the
 * tokens from `i * blockTokens` to `(i + 1) * blockTokens - 1`. Codes and parameters are copied as they are, so no number
 * changes. The result holds exactly `kept * blockTokens` tokens: the others are freed with the old encoding. Tensors that all
 * tokens share (a basis, a mean) are the same tensors in both encodings.
 *
 * @param blockTokens a multiple of the tokens that share a row: of the group size for integer codes with `groupAxis: 'channel'`; 1 is
 *   enough for every other encoding. For `lloydMax` it is 1, if a multiple of 16 tokens is kept (they fill new tiles), or a multiple of 16.
 * @throws InvalidArgumentError if an index names no block, or if a block ends within a group of tokens that share parameters.
 *   BackendError if codes would have to be copied by a backend without exact 32-bit integers.
 */
export function gatherBlocks<E extends Encoding>(encoding: E, indices: TokenIndices, blockTokens: number): E {
  const codes = tokenEncodingOf(encoding);
  if (codes.kind === 'lloydMax' && blockTokens === 1) return gatherApart(encoding, codes, indices);
  checkBlockTokens(encoding, blockTokens);
  return mapTensors(encoding, (tensor, _name, {tokensPerRow, headColumns}) =>
    tokensPerRow === Infinity ? tensor : gather(tensor, indices, blockTokens / tokensPerRow, headColumns),
  );
}

/** Single tokens of codes that lie in tiles. @param codes the encoding itself, or its latents. */
function gatherApart<E extends Encoding>(encoding: E, codes: LloydMaxEncoding, indices: TokenIndices): E {
  requireExactIntegers('Codes of few bits');
  const heads = [codes.codes.shape[0], codes.widths.length, capacityOf(codes)] as const;
  const kept = tf.tidy(() => gatherTiled(codes, asTensor(indices, heads, 1)));
  return mapTensors(encoding, tensor => {
    if (tensor === codes.codes) return kept.codes;
    return tensor === codes.scales ? kept.scales : tensor;
  });
}

/**
 * Rows of each head by their indices: for what goes with the tokens of an encoding, such as positions and scores.
 *
 * @param data float32 or int32 `[batch, kvHeads, rows, columns]`.
 * @returns `[batch, kvHeads, kept, columns]` of the same dtype.
 * @throws InvalidArgumentError if an index names no row. On webgpu, which cannot read a tensor synchronously, only indices on the
 *   host are checked: an index in a tensor that names no row gives a row of zeros there.
 */
export function gatherRows(data: tf.Tensor4D, indices: TokenIndices): tf.Tensor4D {
  expectRank4(data, 'data');
  return gather(data, indices, 1);
}

function gather(
  data: tf.Tensor4D,
  indices: TokenIndices,
  blockRows: number,
  headColumns?: readonly number[],
): tf.Tensor4D {
  if (data.dtype === 'int32') requireExactIntegers('Integer codes and positions');
  const kvHeads = headColumns?.length ?? data.shape[1];
  return tf.tidy(() => {
    const inputs = {data, indices: asTensor(indices, [data.shape[0], kvHeads, data.shape[2]], blockRows)};
    return runOp(gatherRowsOp, inputs, headColumns ? {blockRows, headColumns} : {blockRows});
  });
}

function checkBlockTokens(encoding: Encoding, blockTokens: number): void {
  if (!Number.isInteger(blockTokens) || blockTokens < 1) {
    throw new InvalidArgumentError(`blockTokens = ${blockTokens}; expected an integer from 1.`);
  }
  for (const [name, {tokensPerRow}] of Object.entries(tensorsOf(encoding))) {
    if (tokensPerRow === Infinity || blockTokens % tokensPerRow === 0) continue;
    throw new InvalidArgumentError(
      `${tokensPerRow} tokens of ${tokenEncodingOf(encoding).kind} codes share a row of ${name}, so blocks of ${blockTokens} cannot ` +
        `be kept: gather blocks of a multiple of ${tokensPerRow} tokens (gatherBlocks), or use integer codes with groupAxis ` +
        "'token', float8 or dense.",
    );
  }
}

function asTensor(
  indices: TokenIndices,
  [batch, kvHeads, rows]: readonly [batch: number, kvHeads: number, rows: number],
  blockRows: number,
): tf.Tensor3D {
  const heads = batch * kvHeads;
  if (indices instanceof Int32Array) {
    if (indices.length % heads !== 0) {
      throw new InvalidArgumentError(
        `${indices.length} indices do not divide among ${batch} x ${kvHeads} heads: give each head as many.`,
      );
    }
    const blocks = Math.floor(rows / blockRows);
    const outside = indices.filter(index => index < 0 || index >= blocks);
    if (outside.length > 0) throw indicesOutside(outside.length, rows, blockRows);
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

const gatherRowsOp = defineOp({
  name: 'GatherRows',
  reference: gatherRowsReference,
  kernels: {wasm: gatherRowsWasm, webgpu: gatherRowsWebgpu},
});
