import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {scaleWords, tileTokens, wordsOfTile, type LloydMaxLayout} from '../encodings/lloyd_max_layout.js';
import {wasmTables} from '../encodings/lloyd_max_wasm.js';
import type {KernelInputs} from '../run_op.js';

/** `quantizeLloydMax` on tfjs' heap, a tile of 16 tokens at a time. */
export function quantizeLloydMaxWasm(
  {z}: KernelInputs<{z: tf.Tensor4D}>,
  layout: LloydMaxLayout,
): tf.TensorInfo[] {
  const heap = wasmHeap()!;
  const [batch, kvHeads, tokens, dim] = z.shape;
  const tiles = tokens / tileTokens;
  const shapes = [
    [batch, 1, tiles, wordsOfTile(layout)],
    [batch, 1, tiles, kvHeads * scaleWords],
  ];
  return heap.outputs(
    shapes,
    results => {
      const [codes, scales] = results.map(heap.address);
      const scratch = heap.scratch(heap.kernels.encodeLevelsScratch(dim));
      heap.kernels.encodeLevels(
        ...([heap.address(z), codes!, scales!, wasmTables(layout, heap), scratch] as const),
        ...([batch, kvHeads, tokens, dim] as const),
      );
    },
    'int32',
  );
}
