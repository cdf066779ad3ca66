import type * as tf from '@tensorflow/tfjs';
import {wasmHeap, type WasmHeap} from '../../backends/wasm_heap.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import {describeEncoding, descriptorBytes} from '../../encodings/wasm.js';
import type {KernelInputs} from '../../run_op.js';
import {rebuildingOf} from './stored_keys.js';
import type {AttendAttributes, AttendInputs, SegmentInputs} from './types.js';

type Queries = KernelInputs<{queries: tf.Tensor4D}>;
type SegmentInfos = {readonly inputs: KernelInputs<SegmentInputs>; readonly attributes: AttendAttributes};

/** `attend` fused on tfjs' heap: every stored byte is read once per call, tile by tile. */
export function attendWasm(inputs: KernelInputs<AttendInputs>, attributes: AttendAttributes): tf.TensorInfo {
  const heap = wasmHeap()!;
  const {queries} = inputs;
  const segment = {inputs, attributes};
  const [batch, heads, queryTokens] = queries.shape;
  const partial = heap.output([batch, heads, queryTokens, attributes.values.dim + 2], 'float32');
  const described = heap.words(describeSegment(heap, segment));
  const scratch = heap.scratch(attendScratch(heap, queries, segment, described));
  attendInto(heap.address(partial), heap, queries, segment, described, scratch);
  return partial;
}

/** Descriptors of a segment's keys and values, one after the other. */
export function describeSegment(heap: WasmHeap, {inputs, attributes}: SegmentInfos): number[] {
  const {keys, values} = attributes;
  const {keyData, keyParams, valueData, valueParams} = inputs;
  // concat, not a spread, which takes longer than some kernels: this is for each segment of each depth at each token
  return describeEncoding(heap, keys, keyData, keyParams, rebuildingOf(inputs, attributes)).concat(
    describeEncoding(heap, values, valueData, valueParams),
  );
}

/** Bytes of what `describeSegment` gives. */
export const segmentBytes = 2 * descriptorBytes;

/** Bytes of scratch memory that `attendInto` takes. */
export function attendScratch(
  heap: WasmHeap,
  queries: Queries['queries'],
  {inputs, attributes}: SegmentInfos,
  described: number,
): number {
  const rows = (queries.shape[1] / kvHeadsOf(attributes.keys, inputs.keyData)) * queries.shape[2];
  return heap.kernels.attendScratch(described, described + descriptorBytes, rows);
}

/** Writes the partial of one segment to an address. */
export function attendInto(
  partial: number,
  heap: WasmHeap,
  queries: Queries['queries'],
  {inputs, attributes}: SegmentInfos,
  described: number,
  scratch: number,
): void {
  const {tokens, scale, firstQuery} = attributes;
  const [batch, heads, queryTokens] = queries.shape;
  const kvHeads = kvHeadsOf(attributes.keys, inputs.keyData);
  heap.kernels.attend(
    heap.address(queries),
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
  );
}
