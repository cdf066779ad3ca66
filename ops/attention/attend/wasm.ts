import type * as tf from '@tensorflow/tfjs';
import {wasmHeap, type WasmHeap} from '../../backends/wasm_heap.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import {describeEncoding, descriptorBytes} from '../../encodings/wasm.js';
import type {KernelInputs} from '../../run_op.js';
import {rebuildingOf} from './stored_keys.js';
import {noOldest, oldestVisible} from './visibility.js';
import type {AttendAttributes, AttendInputs, SegmentInputs} from './types.js';

export type Shape = readonly [batch: number, heads: number, queryTokens: number, dim: number];
export type SegmentInfos = {
  readonly inputs: KernelInputs<SegmentInputs>;
  readonly attributes: AttendAttributes;
};

/** `attend` fused on tfjs' heap: every stored byte is read once per call, tile by tile. */
export function attendWasm(inputs: KernelInputs<AttendInputs>, attributes: AttendAttributes): tf.TensorInfo {
  const heap = wasmHeap()!;
  const {queries} = inputs;
  const segment = {inputs, attributes};
  const [batch, heads, queryTokens] = queries.shape;
  const partial = heap.output([batch, heads, queryTokens, attributes.values.dim + 2], 'float32');
  const described = heap.words(describeSegment(heap, segment));
  const scratch = heap.scratch(attendScratch(heap, queries.shape, segment, described));
  const {meanAngles} = inputs;
  const angles = meanAngles === undefined ? 0 : heap.address(meanAngles);
  attendInto(heap.address(partial), heap, queries.shape, segment, {
    ...{queries: heap.address(queries), described, scratch, angles, seen: 0, attended: attributes.tokens},
  });
  return partial;
}

/** Descriptors of a segment's keys and values, one after the other. */
export function describeSegment(heap: WasmHeap, {inputs, attributes}: SegmentInfos): number[] {
  const {keys, values} = attributes;
  const {keyData, keyParams, valueData, valueParams, bias} = inputs;
  // concat, not a spread, which takes longer than some kernels: this is for each segment of each depth at each token
  return describeEncoding(heap, keys, keyData, keyParams, rebuildingOf(inputs, attributes), bias).concat(
    describeEncoding(heap, values, valueData, valueParams),
  );
}

/** Bytes of what `describeSegment` gives. */
export const segmentBytes = 2 * descriptorBytes;

/** Bytes of scratch memory that `attendInto` takes. */
export function attendScratch(
  heap: WasmHeap,
  [, heads, queryTokens]: Shape,
  {inputs, attributes}: SegmentInfos,
  described: number,
): number {
  const rows = (heads / kvHeadsOf(attributes.keys, inputs.keyData)) * queryTokens;
  return heap.kernels.attendScratch(described, described + descriptorBytes, rows, attributes.softCap ?? 0);
}

/** Where `attendInto` finds what is not in the segment. */
interface Addresses {
  readonly queries: number;
  /** What `describeSegment` gave. */
  readonly described: number;
  readonly scratch: number;
  /** The `meanAngles` of a rotated mean; 0 if the keys have none. */
  readonly angles: number;
  /** What was seen of other segments: see `attend` in ops/assembly; or 0. */
  readonly seen: number;
  /** Tokens of all segments that the queries attend. */
  readonly attended: number;
}

/** `fewRows` of the kernel: with more rows of queries of a key head, it reads everything. */
const decodedRows = 16;

/** Writes the partial of one segment to an address. */
export function attendInto(
  partial: number,
  heap: WasmHeap,
  [batch, heads, queryTokens]: Shape,
  {inputs, attributes}: SegmentInfos,
  {queries, described, scratch, angles, seen, attended}: Addresses,
): void {
  const {tokens, scale, softCap, firstQuery, skipping} = attributes;
  const kvHeads = kvHeadsOf(attributes.keys, inputs.keyData);
  const unread = heap.kernels.attend(
    queries,
    described,
    described + descriptorBytes,
    partial,
    scratch,
    batch * kvHeads,
    heads / kvHeads,
    queryTokens,
    tokens,
    firstQuery === undefined ? 0 : 1,
    firstQuery ?? 0,
    scale,
    angles,
    seen,
    skipping === undefined ? 0 : skipping.share / attended, // so that all of them have no more than the share
    oldestVisible(attributes) ?? noOldest,
    softCap ?? 0,
  );
  const rows = (heads / kvHeads) * queryTokens;
  if (skipping?.counts === undefined || rows > decodedRows) return;
  skipping.counts.tokens += batch * kvHeads * tokens * Math.ceil(rows / 4);
  skipping.counts.unread += unread;
}
