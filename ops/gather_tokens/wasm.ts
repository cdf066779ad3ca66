import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {indicesOutside} from './checks.js';

/** Rows of each head, copied on tfjs' heap. */
export function gatherRowsWasm({
  data,
  indices,
}: {
  data: tf.TensorInfo;
  indices: tf.TensorInfo;
}): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, kvHeads, rows, columns] = data.shape as [number, number, number, number];
  const kept = indices.shape[2]!;
  const out = heap.output([batch, kvHeads, kept, columns], data.dtype === 'int32' ? 'int32' : 'float32');
  const outside = heap.kernels.gatherRows(
    heap.address(data),
    heap.address(indices),
    heap.address(out),
    batch * kvHeads,
    rows,
    kept,
    columns * 4,
  );
  if (outside > 0) throw indicesOutside(outside, rows);
  return out;
}
