import type * as tf from '@tensorflow/tfjs';
import {wasmHeap, type WasmHeap} from '../../backends/wasm_heap.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import {describeEncoding, descriptorBytes} from '../../encodings/wasm.js';
import type {KernelInputs} from '../../run_op.js';
import {type ScratchOfThreads, wholeLines} from '../../threads/index.js';
import {attendParts} from './parts.js';
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
  const {queries, meanAngles} = inputs;
  const segment = {inputs, attributes};
  const [batch, heads, queryTokens] = queries.shape;
  const [partial] = heap.outputs([[batch, heads, queryTokens, attributes.values.dim + 2]], ([out]) => {
    const described = heap.words(describeSegment(heap, segment));
    const bytes = attendBytes(heap, queries.shape, segment, described);
    const room = attendRoom(heap, heap.scratch(allBytes(heap, bytes)), bytes);
    attendInto(heap.address(out!), heap, queries.shape, segment, {
      ...{queries: heap.address(queries), described, room, seen: 0, attended: attributes.tokens},
      angles: meanAngles === undefined ? 0 : heap.address(meanAngles),
      anglesOfRow: meanAngles?.shape[3] ?? 0,
    });
  });
  return partial!;
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

/** Bytes of memory that `attendInto` takes: of each thread for scratch, and for the partial of another part. */
export interface AttendBytes {
  readonly scratch: number;
  readonly partial: number;
}

export function attendBytes(
  heap: WasmHeap,
  [batch, heads, queryTokens]: Shape,
  {inputs, attributes: {keys, values, softCap = 0}}: SegmentInfos,
  described: number,
): AttendBytes {
  const rows = (heads / kvHeadsOf(keys, inputs.keyData)) * queryTokens;
  const scratch = heap.kernels.attendScratch(described, described + descriptorBytes, rows, softCap);
  return {
    scratch: wholeLines(scratch),
    partial: wholeLines(4 * batch * heads * queryTokens * (values.dim + 2)),
  };
}

/** Bytes of `attendRoom`. */
export function allBytes({threads}: WasmHeap, {scratch, partial}: AttendBytes): number {
  return threads * scratch + (threads - 1) * partial;
}

/** Memory that `attendInto` works in: scratch memory of each thread, and behind it the partials of all parts but the first. */
export interface AttendRoom {
  readonly scratch: ScratchOfThreads;
  readonly partials: number;
  readonly partialBytes: number;
}

export function attendRoom(heap: WasmHeap, address: number, {scratch, partial}: AttendBytes): AttendRoom {
  return {
    scratch: {address, bytes: scratch},
    partials: address + heap.threads * scratch,
    partialBytes: partial,
  };
}

/** Where `attendInto` finds what is not in the segment. */
interface Addresses {
  readonly queries: number;
  /** What `describeSegment` gave. */
  readonly described: number;
  readonly room: AttendRoom;
  /** The `meanAngles` of a rotated mean, and how many numbers of them a row of queries has; 0 if the keys have none. */
  readonly angles: number;
  readonly anglesOfRow: number;
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
  [batch, queryHeads, queryTokens, width]: Shape,
  {inputs, attributes}: SegmentInfos,
  {queries, described, room, angles, anglesOfRow, seen, attended}: Addresses,
): void {
  const {tokens, scale, softCap, firstQuery, skipping, keys, values} = attributes;
  const kvHeads = kvHeadsOf(keys, inputs.keyData);
  const [heads, group] = [batch * kvHeads, queryHeads / kvHeads];
  const isCausal = firstQuery !== undefined;
  const oldest = oldestVisible(attributes) ?? noOldest;
  const to = isCausal ? Math.max(0, Math.min(tokens, firstQuery + queryTokens)) : tokens;
  const from = Math.min(to, Math.max(0, oldest));
  const parts = attendParts(heap, {
    ...{heads, group, queryTokens, from, to, keys, values, dims: keys.dim + values.dim},
  });
  const dim = inputs.keyBasis === undefined ? keys.dim : width; // latents are attended in their own space, or rebuilt
  const [rowBytes, outBytes] = [4 * dim, 4 * (values.dim + 2)];
  const partials = parts.map((part, i) =>
    i === 0 || part.fromToken === from ? partial : room.partials + (i - 1) * room.partialBytes,
  );
  const unread = heap.split(
    'attend',
    parts.map((part, i) => {
      const firstRow = (part.firstHead * group + part.firstMember) * queryTokens;
      return [
        queries + firstRow * rowBytes,
        described,
        described + descriptorBytes,
        partials[i]! + firstRow * outBytes,
        0,
        part.heads,
        part.group,
        queryTokens,
        part.toToken === to ? tokens : part.toToken,
        isCausal ? 1 : 0,
        firstQuery ?? 0,
        scale,
        angles === 0 ? 0 : angles + 4 * firstRow * anglesOfRow,
        seen === 0 ? 0 : seen + 8 * firstRow,
        skipping === undefined ? 0 : skipping.share / attended, // so that all of them have no more than the share
        part.fromToken === from ? oldest : part.fromToken,
        softCap ?? 0,
        part.firstHead,
      ];
    }),
    room.scratch,
  );
  for (const other of partials) {
    if (other !== partial) heap.kernels.addPartial(partial, other, heads * group * queryTokens, values.dim);
  }
  const rows = group * queryTokens;
  if (skipping?.counts === undefined || rows > decodedRows) return;
  skipping.counts.tokens += heads * tokens * Math.ceil(rows / 4);
  skipping.counts.unread += unread.reduce((sum, count) => sum + count, 0);
}
