import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {indicesOutside} from './checks.js';
import type {KernelInputs} from '../run_op.js';
import type {GatherRowsAttributes, GatherRowsInputs} from './reference.js';

/** Blocks of rows of each head, copied on tfjs' heap. */
export function gatherRowsWasm(
  {data, indices}: KernelInputs<GatherRowsInputs>,
  {blockRows, headColumns}: GatherRowsAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, axisHeads, rows, columns] = data.shape;
  const kept = indices.shape[2];
  const shape = [batch, axisHeads, kept * blockRows, columns];
  const out = heap.output(shape, data.dtype === 'int32' ? 'int32' : 'float32');
  const [from, at, to] = [heap.address(data), heap.address(indices), heap.address(out)];
  const rowBytes = 4 * columns;
  let outside = 0;
  if (headColumns === undefined) {
    outside = heap.kernels.gatherRows(from, at, to, batch * axisHeads, rows, blockRows, kept, rowBytes);
  }
  for (let text = 0; headColumns !== undefined && text < batch; text++) {
    let first = 0; // the bytes of the heads before this one
    for (const [head, ofHead] of headColumns.entries()) {
      outside += heap.kernels.gatherColumns(
        from + text * rows * rowBytes + first,
        at + 4 * (text * headColumns.length + head) * kept,
        to + text * kept * blockRows * rowBytes + first,
        rows,
        blockRows,
        kept,
        rowBytes,
        4 * ofHead,
      );
      first += 4 * ofHead;
    }
  }
  if (outside > 0) throw indicesOutside(outside, rows, blockRows);
  return out;
}
