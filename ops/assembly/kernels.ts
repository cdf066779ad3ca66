// Made by tools/build_kernels from the sources beside this file; do not edit.

/** What the compiled module exports: addresses and counts in, results written to the heap. */
export interface WasmKernels {
  attend(queries: number, keys: number, values: number, partial: number, scratch: number, heads: number, group: number, queryTokens: number, tokens: number, causal: number, firstQuery: number, scale: number, angles: number, seen: number, least: number, oldest: number, softCap: number, firstHead: number): number;
  attendScratch(keys: number, values: number, rows: number, softCap: number): number;
  attentionStatistics(queries: number, keys: number, logSums: number, out: number, scratch: number, heads: number, group: number, queryTokens: number, tokens: number, causal: number, firstQuery: number, scale: number, statistic: number, threshold: number, oldest: number, softCap: number, firstHead: number): void;
  attentionStatisticsScratch(keys: number): number;
  causalGradient(queries: number, keys: number, values: number, output: number, dOut: number, logSums: number, dQueries: number, dKeys: number, dValues: number, scratch: number, heads: number, group: number, tokens: number, dim: number, dimV: number, scale: number, bias: number, window: number, softCap: number): void;
  causalGradientScratch(dim: number, dimV: number): number;
  meanAngles(queries: number, mean: number, out: number, heads: number, rows: number, dim: number, pairs: number, interleaved: number): void;
  preparedTermsBytes(pairs: number): number;
  prepareTerms(cosines: number, sines: number, positions: number, pairs: number, prepared: number): void;
  addPartial(partial: number, other: number, rows: number, dim: number): void;
  addToSeen(seen: number, partial: number, rows: number, dim: number): void;
  mergePartials(partials: number, count: number, out: number, rows: number, dim: number): void;
  partialLogSum(partials: number, count: number, out: number, rows: number, dim: number): void;
  shiftSeen(seen: number, shift: number, scale: number, out: number, rows: number): void;
  startSeen(seen: number, rows: number): void;
  groupParameters(x: number, params: number, heads: number, tokens: number, dim: number, bits: number, alongChannels: number, groupSize: number, symmetric: number): void;
  packCodes(x: number, params: number, codes: number, heads: number, tokens: number, dim: number, bits: number, alongChannels: number, groupSize: number): void;
  float8Scales(x: number, scales: number, rows: number, dim: number, largest: number): void;
  float8Codes(x: number, scales: number, codes: number, rows: number, dim: number, format: number): void;
  encodeLevels(z: number, codes: number, scales: number, layout: number, scratch: number, texts: number, kvHeads: number, tokens: number, dim: number): void;
  encodeLevelsScratch(dim: number): number;
  decodeTokens(descriptor: number, heads: number, from: number, count: number, out: number, scratch: number): void;
  decodeTokensScratch(): number;
  project(x: number, basis: number, out: number, heads: number, rows: number, dim: number, rank: number): void;
  expandPartial(partial: number, basis: number, mean: number, shift: number, out: number, heads: number, rows: number, inner: number, dim: number, scale: number): void;
  solveRows(x: number, matrices: number, out: number, heads: number, rows: number, n: number, scratch: number): void;
  solveRowsScratch(n: number): number;
  gatherColumns(data: number, indices: number, out: number, rows: number, blockRows: number, kept: number, rowBytes: number, columnBytes: number): number;
  gatherRows(data: number, indices: number, out: number, heads: number, rows: number, blockRows: number, kept: number, rowBytes: number): number;
  hadamard(x: number, out: number, numbers: number, block: number): void;
  appendRows(buffer: number, fresh: number, heads: number, capacity: number, freshStride: number, freshRows: number, at: number, rowBytes: number): void;
  rotate(x: number, cosines: number, sines: number, out: number, heads: number, tokens: number, dim: number, pairs: number, interleaved: number): void;
  rmsNorm(x: number, gain: number, out: number, rows: number, dim: number, epsilon: number): void;
  swiglu(gate: number, up: number, out: number, count: number): void;
  addNumbers(out: number, numbers: number, count: number): void;
  linear(x: number, w: number, bias: number, residual: number, out: number, scratch: number, rows: number, inputs: number, outputs: number): void;
  linearScratch(rows: number, inputs: number, outputs: number): number;
  multiplyTransposed(x: number, w: number, out: number, rows: number, columns: number, dim: number): void;
  eigh(x: number, out: number, scratch: number, count: number, dim: number): void;
  eighScratch(dim: number): number;
  svd(x: number, out: number, scratch: number, stack: number, m: number, n: number): void;
  svdScratch(m: number, n: number): number;
  qr(x: number, out: number, scratch: number, stack: number, m: number, n: number): void;
  qrScratch(m: number, n: number): number;
  batchedMatMul(a: number, b: number, out: number, scratch: number, count: number, m: number, k: number, n: number, transposeA: number, transposeB: number): void;
  batchedMatMulScratch(m: number, k: number, n: number, transposeA: number, transposeB: number): number;
  allFinite(x: number, count: number): number;
  roundRows(x: number, scratch: number, rows: number, inputs: number, order: number): void;
  roundRowsScratch(rows: number, inputs: number, order: number): number;
  packedProduct(x: number, records: number, bias: number, residual: number, out: number, scratch: number, rows: number, inputs: number, outputs: number, from: number, to: number, format: number): void;
  packedProductScratch(rows: number, inputs: number, format: number): number;
  gatherOutputs(records: number, indices: number, out: number, scratch: number, count: number, inputs: number, format: number): void;
  unpackRecords(records: number, out: number, scratch: number, inputs: number, outputs: number, format: number): void;
  unpackRecordsScratch(): number;
}

/** Which argument of a kernel is the address of its scratch memory. */
export const scratchArguments: {readonly [Kernel in keyof WasmKernels]?: number} = {
  attend: 4,
  attentionStatistics: 4,
  causalGradient: 9,
  encodeLevels: 4,
  decodeTokens: 5,
  solveRows: 6,
  linear: 5,
  eigh: 2,
  svd: 2,
  qr: 2,
  batchedMatMul: 3,
  roundRows: 1,
  packedProduct: 5,
  gatherOutputs: 3,
  unpackRecords: 2,
};
