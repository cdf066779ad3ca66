import type {WasmKernels} from '../assembly/kernels.js';
import type {WasmHeap} from '../backends/wasm_heap.js';
import {evenRanges, partsOf, wholeLines} from '../threads/index.js';
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
  let rounded = 0;
  let own = 0;
  for (const {format, inputs} of products) {
    const kind = kernelOf(format, bytes);
    own = Math.max(own, kernels.packedProductScratch(rows, inputs, kind.format));
    if (kind.rounding !== undefined) {
      rounded = Math.max(rounded, kernels.roundRowsScratch(rows, inputs, kind.rounding));
    }
  }
  [rounded, own] = [wholeLines(rounded), wholeLines(own)];
  const address = heap.scratch(rounded + heap.threads * own);
  const scratch = {address: address + rounded, bytes: own};
  for (let i = 0; i < products.length;) {
    const {inputs, format} = products[i]!;
    const {rounding} = kernelOf(format, bytes);
    const from = x + 4 * first * inputs;
    if (rounding !== undefined) kernels.roundRows(from, address, rows, inputs, rounding);
    const source = {x: rounding === undefined ? from : address, first, rows};
    // products of the same numbers are one job, if they are enough to be shared
    const start = i;
    let work = 0;
    for (; i < products.length && kernelOf(products[i]!.format, bytes).rounding === rounding; i++) {
      work += rows * inputs * products[i]!.outputs;
    }
    const count = partsOf(heap, work, rows === 1 ? 1 : 2);
    if (count > 1) {
      heap.split('packedProduct', partsOfAll(products.slice(start, i), source, count, bytes), scratch);
      continue;
    }
    for (let j = start; j < i; j++) multiplyAll(heap, products[j]!, source, bytes, scratch.address);
  }
}

/** Rows of rounded numbers, or of floats: those from `first` on. */
interface Rows {
  readonly x: number;
  readonly first: number;
  readonly rows: number;
}

/** A product on the calling thread. */
function multiplyAll(
  {kernels}: WasmHeap,
  {format, inputs, outputs, records, bias, residual, out}: PackedProduct,
  {x, first, rows}: Rows,
  bytes: boolean,
  scratch: number,
): void {
  const {format: kernel} = kernelOf(format, bytes);
  const offset = 4 * first * outputs;
  const added = residual === 0 ? 0 : residual + offset;
  const to = groupsOf(outputs);
  kernels.packedProduct(x, records, bias, added, out + offset, scratch, rows, inputs, outputs, 0, to, kernel);
}

type Part = Parameters<WasmKernels['packedProduct']>;

/**
 * Parts of products of the same rows, by groups of outputs, for threads to share. All groups of all products are cut as one run, since each part begins to
 * read another stream, which takes a microsecond: half of a row's product by a small matrix takes ten. The longest parts are last, and are taken first.
 */
function partsOfAll(
  products: readonly PackedProduct[],
  {x, first, rows}: Rows,
  count: number,
  bytes: boolean,
): Part[] {
  const all = products.reduce((sum, {outputs}) => sum + groupsOf(outputs), 0);
  const cuts = evenRanges(all, count).map(({to}) => to);
  const parts: Part[] = [];
  let before = 0; // groups of the products so far
  for (const {format, inputs, outputs, records, bias, residual, out} of products) {
    const {format: kernel} = kernelOf(format, bytes);
    const offset = 4 * first * outputs;
    const added = residual === 0 ? 0 : residual + offset;
    const groups = groupsOf(outputs);
    const within = cuts.map(cut => cut - before).filter(cut => cut > 0 && cut < groups);
    let from = 0;
    for (const to of [...within, groups]) {
      parts.push([x, records, bias, added, out + offset, 0, rows, inputs, outputs, from, to, kernel]);
      from = to;
    }
    before += groups;
  }
  return parts.sort((a, b) => lengthOf(a) - lengthOf(b));
}

const groupsOf = (outputs: number): number => Math.ceil(outputs / outputsOfRecord);

/** Groups of a part. */
const lengthOf = (part: Part): number => part[10] - part[9];

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
