import * as tf from '@tensorflow/tfjs';
import {type WasmHeap, wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import {evenRanges, partsOf, scratchOfThreads, wholeLines} from '../threads/index.js';
import {type PackedProduct, packedProducts} from './packed_wasm.js';
import {recordsAddress} from '../weights/finite_records.js';
import {type LinearAttributes, type LinearInputs, biasName, matrixName} from './reference.js';

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
  const x = heap.address(inputs.x);
  const residual = addressOr0(heap, inputs.residual);
  const rows = tf.util.sizeFromShape(inputs.x.shape) / products[0]!.inputs;
  const packed: PackedProduct[] = [];
  for (let i = 0; i < products.length; i++) {
    const {inputs: numbers, outputs, format} = products[i]!;
    const matrix = inputs[matrixName(i)]!;
    const bias = addressOr0(heap, inputs[biasName(i)]);
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
      continue;
    }
    const product = {x, matrix: heap.address(matrix), bias, residual, out, rows, inputs: numbers, outputs};
    if (rows === 1) multiplyRow(heap, product);
    else multiplyRows(heap, product);
  }
  if (packed.length > 0) packedProducts(heap, x, rows, packed, activations);
}

const addressOr0 = (heap: WasmHeap, tensor: tf.TensorInfo | undefined): number =>
  tensor === undefined ? 0 : heap.address(tensor);

/** A float32 product by addresses; 0 for a bias or residual that is not there. */
interface Product {
  readonly x: number;
  readonly matrix: number;
  readonly bias: number;
  readonly residual: number;
  readonly out: number;
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** Threads share the inputs of a single row, since each reads whole rows of the matrix then, in the order in which they lie. */
function multiplyRow(heap: WasmHeap, {x, matrix, bias, residual, out, inputs, outputs}: Product): void {
  const ranges = evenRanges(inputs, partsOf(heap, inputs * outputs));
  const own = wholeLines(heap.kernels.linearScratch(1, inputs, outputs));
  const sums = heap.scratch(heap.threads * own + 4 * (ranges.length - 1) * outputs) + heap.threads * own;
  const outs = ranges.map((_, i) => (i === 0 ? out : sums + 4 * (i - 1) * outputs));
  heap.split(
    'linear',
    ranges.map(({from, to}, i) => [
      x + 4 * from,
      matrix + 4 * from * outputs,
      0,
      0,
      outs[i]!,
      0,
      1,
      to - from,
      outputs,
    ]),
    {address: sums - heap.threads * own, bytes: own},
  );
  for (const other of [...outs.slice(1), bias, residual]) {
    if (other !== 0) heap.kernels.addNumbers(out, other, outputs);
  }
}

function multiplyRows(
  heap: WasmHeap,
  {x, matrix, bias, residual, out, rows, inputs, outputs}: Product,
): void {
  heap.split(
    'linear',
    evenRanges(rows, partsOf(heap, rows * inputs * outputs)).map(({from, to}) => [
      x + 4 * from * inputs,
      matrix,
      bias,
      residual === 0 ? 0 : residual + 4 * from * outputs,
      out + 4 * from * outputs,
      0,
      to - from,
      inputs,
      outputs,
    ]),
    scratchOfThreads(heap, heap.kernels.linearScratch(rows, inputs, outputs)),
  );
}
