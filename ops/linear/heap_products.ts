import type {WasmHeap} from '../backends/wasm_heap.js';
import type {WeightFormat} from '../weights/formats.js';
import {type PackedProduct, packedProducts} from './packed_wasm.js';
import type {Activations} from './reference.js';

/** A product on the heap of tfjs' wasm backend, by addresses: 0 for a bias or residual that is not there. */
export interface HeapProduct {
  readonly inputs: number;
  readonly outputs: number;
  readonly format: WeightFormat;
  /** float32 `[inputs, outputs]`, or records. */
  readonly matrix: number;
  /** float32 `[outputs]`. */
  readonly bias: number;
  /** float32 `[rows, outputs]`. */
  readonly residual: number;
  /** float32 `[rows, outputs]`: the result. */
  readonly out: number;
}

/**
 * Products of the same rows, in scratch memory of the heap.
 *
 * @param x address of float32 `[rows, inputs]`, with the same inputs for all products.
 */
export function multiplyOnHeap(
  heap: WasmHeap,
  x: number,
  rows: number,
  products: readonly HeapProduct[],
  activations: Activations,
): void {
  const {kernels} = heap;
  const packed: PackedProduct[] = [];
  for (const {format, matrix, ...product} of products) {
    if (format !== 'float32') {
      packed.push({...product, format, records: matrix});
      continue;
    }
    const {inputs, outputs, bias, residual, out} = product;
    const scratch = heap.scratch(kernels.linearScratch(rows, inputs, outputs));
    kernels.linear(x, matrix, bias, residual, out, scratch, rows, inputs, outputs);
  }
  if (packed.length > 0) packedProducts(heap, x, rows, packed, activations);
}
