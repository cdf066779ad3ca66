import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import {packedFormats} from '../weights/formats.js';
import {recordsAddress} from '../weights/finite_records.js';
import type {EmbedAttributes, EmbedInputs} from './reference.js';

/** `embed` on tfjs' heap: rows are copied, or decoded from their records. */
export function embedWasm(
  {ids, table}: KernelInputs<EmbedInputs>,
  {format, rows, dim}: EmbedAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const {kernels} = heap;
  const [batch, tokens] = ids.shape;
  const from = format === 'float32' ? heap.address(table) : recordsAddress(heap, table, format);
  const out = heap.output([batch, tokens, dim], 'float32');
  const [indices, to] = [heap.address(ids), heap.address(out)];
  const count = batch * tokens;
  if (format === 'float32') {
    kernels.gatherRows(from, indices, to, 1, rows, 1, count, 4 * dim);
    return out;
  }
  const scratch = heap.scratch(kernels.unpackRecordsScratch());
  kernels.gatherOutputs(from, indices, to, scratch, count, dim, packedFormats[format].wasm);
  return out;
}
