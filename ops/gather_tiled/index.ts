import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import type {LloydMaxEncoding} from '../encodings/lloyd_max.js';
import {tileTokens} from '../encodings/lloyd_max_layout.js';
import {defineOp, runOp} from '../run_op.js';
import {gatherTiledReference} from './reference.js';
import './tensorflow.js';
import {gatherTiledWasm} from './wasm.js';
import {gatherTiledWebgpu} from './webgpu.js';

/**
 * Single tokens of each head of `lloydMax` codes, in new tiles: each token's byte of every vector and its scale are copied as they are.
 *
 * @param indices int32 `[batch, kvHeads, kept]`, kept a multiple of 16. Each names a token that exists; any order and repetitions are fine.
 * @throws InvalidArgumentError if the kept tokens fill no whole tiles, or if an index names no token. On webgpu, which cannot read a
 *   tensor synchronously, such an index gives a token of zeros.
 */
export function gatherTiled(
  {codes, scales, dim, widths}: LloydMaxEncoding,
  indices: tf.Tensor3D,
): {codes: tf.Tensor4D; scales: tf.Tensor4D} {
  const kept = indices.shape[2];
  if (kept % tileTokens !== 0) {
    throw new InvalidArgumentError(
      `${kept} tokens of lloydMax codes are kept for each head; expected a multiple of ${tileTokens}, which share a tile.`,
    );
  }
  const [keptCodes, keptScales] = runOp(gatherTiledOp, {codes, scales, indices}, {dim, widths});
  return {codes: keptCodes!, scales: keptScales!};
}

const gatherTiledOp = defineOp({
  name: 'GatherTiled',
  reference: gatherTiledReference,
  kernels: {wasm: gatherTiledWasm, webgpu: gatherTiledWebgpu},
});
