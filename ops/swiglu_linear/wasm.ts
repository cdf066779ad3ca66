import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {LinearAttributes, LinearInputs} from '../linear/reference.js';
import {multiplyOnHeap} from '../linear/wasm.js';
import type {KernelInputs} from '../run_op.js';
import {swigluOnHeap} from '../swiglu/wasm.js';

/** `swigluLinear` on tfjs' heap: the gate's product becomes the result in place. */
export function swigluLinearWasm(
  inputs: KernelInputs<LinearInputs>,
  attributes: LinearAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const shape = [...attributes.products[0]!.shape];
  const count = tf.util.sizeFromShape(shape);
  const [result] = heap.outputs([shape], ([out]) => {
    const gate = heap.address(out!);
    heap.withBlock(4 * count, up => {
      multiplyOnHeap(heap, inputs, attributes, [gate, up]);
      swigluOnHeap(heap, gate, up, gate, count);
    });
  });
  return result!;
}
