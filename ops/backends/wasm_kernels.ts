/**
 * What the compiled module (ops/assembly) exports: addresses and counts in, results written to the heap.
 * The test of the kernels' binary checks that `wasmKernelNames` are the module's exports.
 */
export interface WasmKernels {
  /** Bytes of scratch memory that `attend` takes; `rows` are the query tokens of all heads of a group. */
  attendScratch(keys: number, values: number, rows: number): number;
  attend(
    queries: number,
    keys: number,
    values: number,
    partial: number,
    scratch: number,
    heads: number,
    group: number,
    queryTokens: number,
    tokens: number,
    causal: number,
    firstQuery: number,
    scale: number,
  ): void;
  causalGradientScratch(dim: number, dimV: number): number;
  causalGradient(
    queries: number,
    keys: number,
    values: number,
    output: number,
    dOut: number,
    logSums: number,
    gradients: number,
    scratch: number,
    heads: number,
    group: number,
    tokens: number,
    dim: number,
    dimV: number,
    scale: number,
  ): void;
  mergePartials(partials: number, count: number, out: number, rows: number, dim: number): void;
  groupParameters(
    x: number,
    params: number,
    heads: number,
    tokens: number,
    dim: number,
    bits: number,
    alongChannels: number,
    groupSize: number,
    symmetric: number,
  ): void;
  packCodes(
    x: number,
    params: number,
    codes: number,
    heads: number,
    tokens: number,
    dim: number,
    bits: number,
    alongChannels: number,
    groupSize: number,
  ): void;
  decodeTokens(encoding: number, heads: number, from: number, count: number, out: number): void;
  appendRows(
    buffer: number,
    fresh: number,
    heads: number,
    capacity: number,
    freshStride: number,
    freshRows: number,
    at: number,
    rowBytes: number,
  ): void;
  rotate(
    x: number,
    cosines: number,
    sines: number,
    out: number,
    heads: number,
    tokens: number,
    dim: number,
    pairs: number,
    interleaved: number,
  ): void;
  rmsNorm(x: number, gain: number, out: number, rows: number, dim: number, epsilon: number): void;
  swiglu(gate: number, up: number, out: number, count: number): void;
  attentionStatisticsScratch(keys: number): number;
  attentionStatistics(
    queries: number,
    keys: number,
    logSums: number,
    out: number,
    scratch: number,
    heads: number,
    group: number,
    queryTokens: number,
    tokens: number,
    causal: number,
    firstQuery: number,
    scale: number,
    statistic: number,
    threshold: number,
  ): void;
  partialLogSum(partials: number, count: number, out: number, rows: number, dim: number): void;
  float8Scales(x: number, scales: number, rows: number, dim: number, largest: number): void;
  float8Codes(x: number, scales: number, codes: number, rows: number, dim: number, format: number): void;
  project(
    x: number,
    basis: number,
    out: number,
    heads: number,
    rows: number,
    dim: number,
    rank: number,
  ): void;
  expandPartial(
    partial: number,
    basis: number,
    mean: number,
    shift: number,
    out: number,
    heads: number,
    rows: number,
    inner: number,
    dim: number,
  ): void;
  /** How many indices name no block of rows. */
  gatherRows(
    data: number,
    indices: number,
    out: number,
    heads: number,
    rows: number,
    blockRows: number,
    kept: number,
    rowBytes: number,
  ): number;
  hadamard(x: number, out: number, numbers: number, block: number): void;
  lmHead(x: number, embedding: number, out: number, rows: number, vocab: number, dim: number): void;
  eighScratch(dim: number): number;
  eigh(x: number, out: number, scratch: number, count: number, dim: number): void;
  allFinite(x: number, count: number): number;
  batchedMatMulScratch(k: number): number;
  batchedMatMul(
    a: number,
    b: number,
    out: number,
    scratch: number,
    count: number,
    m: number,
    k: number,
    n: number,
    transposeA: number,
    transposeB: number,
  ): void;
}

/** The same names as values; the compiler checks that none is missing. */
export const wasmKernelNames = namesOf({
  attend: true,
  attendScratch: true,
  causalGradient: true,
  causalGradientScratch: true,
  mergePartials: true,
  groupParameters: true,
  packCodes: true,
  decodeTokens: true,
  appendRows: true,
  rotate: true,
  rmsNorm: true,
  swiglu: true,
  attentionStatistics: true,
  attentionStatisticsScratch: true,
  partialLogSum: true,
  float8Scales: true,
  float8Codes: true,
  project: true,
  expandPartial: true,
  gatherRows: true,
  hadamard: true,
  lmHead: true,
  eigh: true,
  eighScratch: true,
  batchedMatMul: true,
  batchedMatMulScratch: true,
  allFinite: true,
});

function namesOf(names: {readonly [Name in keyof WasmKernels]: true}): string[] {
  return Object.keys(names);
}
