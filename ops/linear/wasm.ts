import * as tf from '@tensorflow/tfjs';
import {type WasmHeap, wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import {type PackedProduct, packedProducts} from './packed_wasm.js';
import {recordsAddress} from '../weights/finite_records.js';
import type {LinearAttributes, LinearInputs} from './reference.js';

/** `linears` on tfjs' heap. */
export function linearWasm(
  inputs: KernelInputs<LinearInputs>,
  attributes: LinearAttributes,
): tf.TensorInfo[] {
  const heap = wasmHeap()!;
  return heap.outputs(
    attributes.products.map(({shape}) => [...shape]),
    results => multiplyOnHeap(heap, inputs, attributes, results.map(heap.address)),
  );
}

/** Writes each product to its address in `outs`. */
export function multiplyOnHeap(
  heap: WasmHeap,
  inputs: KernelInputs<LinearInputs>,
  {products, activations}: LinearAttributes,
  outs: readonly number[],
): void {
  const {kernels} = heap;
  const addressOf = (tensor: tf.TensorInfo | undefined) => (tensor === undefined ? 0 : heap.address(tensor));
  const x = heap.address(inputs.x);
  const residual = addressOf(inputs.residual);
  const rows = tf.util.sizeFromShape(inputs.x.shape) / products[0]!.inputs;
  const packed: PackedProduct[] = [];
  products.forEach(({inputs: numbers, outputs, format}, i) => {
    const matrix = inputs[`matrix${i}`]!;
    const bias = addressOf(inputs[`bias${i}`]);
    const out = outs[i]!;
    if (format !== 'float32') {
      packed.push({
        format,
        inputs: numbers,
        outputs,
        records: recordsAddress(heap, matrix, format),
        bias,
        residual,
        out,
      });
      return;
    }
    const scratch = heap.scratch(kernels.linearScratch(rows, numbers, outputs));
    kernels.linear(x, heap.address(matrix), bias, residual, out, scratch, rows, numbers, outputs);
  });
  if (packed.length > 0) packedProducts(heap, x, rows, packed, activations);
}
