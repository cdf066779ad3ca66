import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import {multiplyOnHeap} from './heap_products.js';
import type {LinearAttributes, LinearInputs} from './reference.js';

/** `linears` on tfjs' heap: weights are read as they lie, once for few rows. */
export function linearWasm(
  inputs: KernelInputs<LinearInputs>,
  {products, activations}: LinearAttributes,
): tf.TensorInfo[] {
  const heap = wasmHeap()!;
  const {x, residual} = inputs;
  const addressOf = (tensor: tf.TensorInfo | undefined) => (tensor === undefined ? 0 : heap.address(tensor));
  const rows = tf.util.sizeFromShape(x.shape) / products[0]!.inputs;
  return heap.outputs(
    products.map(({shape}) => [...shape]),
    results => {
      const onHeap = products.map((product, i) => ({
        ...product,
        matrix: heap.address(inputs[`matrix${i}`]!),
        bias: addressOf(inputs[`bias${i}`]),
        residual: addressOf(residual),
        out: heap.address(results[i]!),
      }));
      multiplyOnHeap(heap, heap.address(x), rows, onHeap, activations);
    },
  );
}
