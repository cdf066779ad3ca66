import type {WasmKernels} from '../assembly/kernels.js';
import type {WasmHeap} from '../backends/wasm_heap.js';
import {evenRanges, partsOf} from '../threads/index.js';
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
  const kinds = products.map(({format}) => kernelOf(format, bytes));
  let roundedBytes = 0;
  let ownBytes = 0;
  products.forEach(({inputs}, i) => {
    const {format, rounding} = kinds[i]!;
    ownBytes = Math.max(ownBytes, kernels.packedProductScratch(rows, inputs, format));
    if (rounding === undefined) return;
    roundedBytes = Math.max(roundedBytes, kernels.roundRowsScratch(rows, inputs, rounding));
  });
  const [rounded, own] = [roundedBytes, ownBytes].map(count => Math.ceil(count / cacheLine) * cacheLine) as [
    number,
    number,
  ];
  const address = heap.scratch(rounded + heap.threads * own);
  const scratch = {address: address + rounded, bytes: own};
  for (let i = 0; i < products.length;) {
    const {rounding} = kinds[i]!;
    let end = i + 1;
    while (end < products.length && kinds[end]!.rounding === rounding) end++;
    const from = x + 4 * first * products[i]!.inputs;
    if (rounding !== undefined) kernels.roundRows(from, address, rows, products[i]!.inputs, rounding);
    const parts = products.slice(i, end).map((product, at) =>
      partsOfProduct(heap, product, {
        x: rounding === undefined ? from : address,
        ...{first, rows, format: kinds[i + at]!.format},
      }),
    );
    // together, if they are enough to be shared
    const work = products.slice(i, end).reduce((sum, {inputs, outputs}) => sum + rows * inputs * outputs, 0);
    const jobs = partsOf(heap, work) > 1 ? [parts.flat()] : parts;
    for (const job of jobs) heap.split('packedProduct', job, scratch);
    i = end;
  }
}

/** A product of rows from `first` on, by groups of outputs: threads share those. */
function partsOfProduct(
  heap: WasmHeap,
  {inputs, outputs, records, bias, residual, out}: PackedProduct,
  {x, first, rows, format}: {x: number; first: number; rows: number; format: number},
): Parameters<WasmKernels['packedProduct']>[] {
  const offset = 4 * first * outputs;
  const groups = Math.ceil(outputs / outputsOfRecord);
  return evenRanges(groups, partsOf(heap, rows * inputs * outputs, 2)).map(({from, to}) => [
    x,
    records,
    bias,
    residual === 0 ? 0 : residual + offset,
    out + offset,
    0,
    rows,
    inputs,
    outputs,
    from,
    to,
    format,
  ]);
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
