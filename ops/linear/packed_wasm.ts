import type {WasmHeap} from '../backends/wasm_heap.js';
import {type PackedFormat, outputsOfRecord, packedFormats} from '../weights/formats.js';
import type {Activations} from './reference.js';

/** A product of rows with packed weights, by addresses on the heap; 0 for a bias or residual that is not there. */
export interface PackedProduct {
  readonly format: PackedFormat;
  readonly inputs: number;
  readonly outputs: number;
  readonly records: number;
  readonly bias: number;
  readonly residual: number;
  readonly out: number;
}

/**
 * Products of the same rows with packed weights, on tfjs' heap. Rows are rounded to scratch memory once for consecutive products that
 * read the same integers.
 *
 * @param x address of float32 `[rows, inputs]`, with the same inputs for all products.
 */
export function packedProducts(
  heap: WasmHeap,
  x: number,
  rows: number,
  products: readonly PackedProduct[],
  activations: Activations,
): void {
  const bytes = activations === 'int8' && heap.hasRelaxedSimd;
  for (let first = 0; first < rows; first += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, rows - first);
    multiplyRows(heap, x, first, count, products, bytes);
  }
}

/** Rows that weights are read and widened for once: more would take more scratch memory and no less time. */
const rowsAtOnce = 256;
const cacheLine = 64;

/** Numbers that kernels know ways of rounding by (ops/assembly/round_rows.ts), and packed4 by int8 (packed_record.ts). */
const [inOrder, inPairs, asBytes, packed4ByBytes] = [0, 1, 2, 6];

function multiplyRows(
  heap: WasmHeap,
  x: number,
  first: number,
  rows: number,
  products: readonly PackedProduct[],
  bytes: boolean,
): void {
  const {kernels} = heap;
  let roundedBytes = 0;
  let ownBytes = 0;
  for (const {format, inputs} of products) {
    const kind = kernelOf(format, bytes);
    ownBytes = Math.max(ownBytes, kernels.packedProductScratch(rows, inputs, kind.format));
    if (kind.rounding === undefined) continue;
    const needed = kernels.roundRowsScratch(rows, inputs, kind.rounding);
    roundedBytes = Math.max(roundedBytes, Math.ceil(needed / cacheLine) * cacheLine);
  }
  const rounded = heap.scratch(roundedBytes + ownBytes);
  let roundedAs: number | undefined;
  for (const product of products) {
    const {inputs, outputs, records, bias, residual, out} = product;
    const {format, rounding} = kernelOf(product.format, bytes);
    const from = x + 4 * first * inputs;
    if (rounding !== undefined && rounding !== roundedAs) {
      kernels.roundRows(from, rounded, rows, inputs, rounding);
      roundedAs = rounding;
    }
    const offset = 4 * first * outputs;
    kernels.packedProduct(
      rounding === undefined ? from : rounded,
      records,
      bias,
      residual === 0 ? 0 : residual + offset,
      out + offset,
      rounded + roundedBytes,
      rows,
      inputs,
      outputs,
      0,
      Math.ceil(outputs / outputsOfRecord),
      format,
    );
  }
}

/** The kernel of a format, and how it has x rounded; as floats if undefined. */
interface Kind {
  readonly format: number;
  readonly rounding?: number;
}

function kernelOf(format: PackedFormat, bytes: boolean): Kind {
  return bytes && packedFormats[format].bits === 4
    ? {format: packed4ByBytes, rounding: asBytes}
    : kinds[format];
}

const kinds = Object.fromEntries(
  Object.entries(packedFormats).map(([format, {bits, wasm}]) => [
    format,
    bits === 16 ? {format: wasm} : {format: wasm, rounding: bits === 8 ? inOrder : inPairs},
  ]),
) as Record<PackedFormat, Kind>;
