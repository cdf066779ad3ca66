import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {scaleWords, tileTokens, wordsOfTile, type LloydMaxLayout} from '../encodings/lloyd_max_layout.js';
import type {KernelInputs} from '../run_op.js';
import {copyTokens, type GatherTiledInputs} from './reference.js';

/** The loops of the reference, on tfjs' heap: no more bytes are touched than are kept, so that a kernel would gain little. */
export function gatherTiledWasm(
  {codes, scales, indices}: KernelInputs<GatherTiledInputs>,
  layout: LloydMaxLayout,
): tf.TensorInfo[] {
  const heap = wasmHeap()!;
  const [batch, kvHeads, kept] = indices.shape;
  const tiles = kept / tileTokens;
  const shapes = [
    [batch, 1, tiles, wordsOfTile(layout)],
    [batch, 1, tiles, kvHeads * scaleWords],
  ];
  const words = (tensor: tf.TensorInfo): Int32Array => {
    const {buffer, byteOffset, byteLength} = heap.bytes(tensor);
    return new Int32Array(buffer, byteOffset, byteLength / 4);
  };
  return heap.outputs(
    shapes,
    ([toCodes, toScales]) => {
      const to = {codes: words(toCodes!), scales: words(toScales!).fill(0)};
      const from = {codes: words(codes), scales: words(scales)};
      copyTokens(from, to, words(indices), {batch, tiles: codes.shape[2], kept}, layout);
    },
    'int32',
  );
}
