import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {indicesOutside} from './checks.js';
import type {KernelInputs} from '../run_op.js';
import type {GatherRowsAttributes, GatherRowsInputs} from './reference.js';

/** Blocks of rows of each head, copied on tfjs' heap. */
export function gatherRowsWasm(
  {data, indices}: KernelInputs<GatherRowsInputs>,
  {blockRows}: GatherRowsAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, kvHeads, rows, columns] = data.shape;
  const kept = indices.shape[2];
  const shape = [batch, kvHeads, kept * blockRows, columns];
  const out = heap.output(shape, data.dtype === 'int32' ? 'int32' : 'float32');
  const outside = heap.kernels.gatherRows(
    heap.address(data),
    heap.address(indices),
    heap.address(out),
    batch * kvHeads,
    rows,
    blockRows,
    kept,
    columns * 4,
  );
  if (outside > 0) throw indicesOutside(outside, rows, blockRows);
  return out;
}
