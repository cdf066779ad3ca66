import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import {packedFormats} from '../weights/formats.js';
import {recordsAddress} from '../weights/finite_records.js';
import type {UnpackAttributes, UnpackInputs} from './reference.js';

/** `unpack` on tfjs' heap, a record at a time. */
export function unpackWasm(
  {records}: KernelInputs<UnpackInputs>,
  {format, inputs, outputs}: UnpackAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const from = recordsAddress(heap, records, format);
  const out = heap.output([inputs, outputs], 'float32');
  heap.kernels.unpackRecords(
    from,
    heap.address(out),
    heap.scratch(heap.kernels.unpackRecordsScratch()),
    inputs,
    outputs,
    packedFormats[format].wasm,
  );
  return out;
}
