import * as tf from '@tensorflow/tfjs';
import {wasmHeap, type WasmHeap} from '../../backends/wasm_heap.js';
import {type Basis, basisShape} from '../../encodings/low_rank.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import {descriptorBytes} from '../../encodings/wasm.js';
import type {InfoOf} from '../../run_op.js';
import {wholeLines} from '../../threads/index.js';
import {
  decodedNumbers,
  describeLatent,
  type LatentSegment,
  latentBytes,
  latentSegment,
} from './latent_segment.js';
import type {AttendedSegment} from './types.js';
import {
  allBytes,
  attendBytes,
  attendInto,
  type AttendRoom,
  attendRoom,
  segmentBytes,
  type Shape,
} from './wasm.js';

// All segments of a decoding step in one op: the kernels of `project`, `meanAngles`, `attend`, `expandPartial` and `mergePartials` in turn,
// whose results lie in scratch memory.

export function attendSegmentsWasm(
  queries: InfoOf<tf.Tensor4D>,
  segments: readonly AttendedSegment[],
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, queryTokens] = queries.shape;
  const dim = segments[0]!.values.dim;
  const [output] = heap.outputs([[batch, heads, queryTokens, dim]], ([out]) => {
    const latents = mostAttendedFirst(segments.map(latentSegment));
    let words: number[] = [];
    for (const latent of latents) words = words.concat(describeLatent(heap, latent)); // flatMap takes ten times longer
    const described = heap.words(words);
    const step = {
      heap,
      queries: heap.address(queries),
      shape: queries.shape,
      dim,
      rows: batch * heads * queryTokens,
      attended: segments.reduce((sum, {tokens}) => sum + tokens, 0),
    };
    const room = roomFor(step, latents, described);
    heap.kernels.startSeen(room.seen, step.rows);
    for (const [index, latent] of latents.entries()) {
      attendLatent(step, latent, room, room.partials[index]!, described + index * latentBytes);
    }
    const partials = heap.words(room.partials);
    heap.kernels.mergePartials(partials, latents.length, heap.address(out!), step.rows, dim);
  });
  return output!;
}

/** Exact tokens, then the newest of the others: how exact tokens have to be read depends on their part of the whole. */
function mostAttendedFirst(segments: readonly LatentSegment[]): LatentSegment[] {
  return [...segments.filter(({isExact}) => isExact), ...segments.filter(({isExact}) => !isExact).reverse()];
}

/** What all segments of a call share. */
interface Step {
  readonly heap: WasmHeap;
  readonly queries: number;
  readonly shape: Shape;
  /** Of the values. */
  readonly dim: number;
  readonly rows: number;
  /** Tokens of all segments. */
  readonly attended: number;
}

/** Addresses in scratch memory. */
interface Room {
  /** One for each segment. */
  readonly partials: readonly number[];
  /** The largest score and the sum of each row of the segments so far; and less what a mean of keys adds. */
  readonly seen: number;
  readonly seenByLatents: number;
  // of the present segment:
  readonly queries: number;
  readonly angles: number;
  readonly shift: number;
  readonly partial: number;
  /** The decoded basis of the keys, later of the values. */
  readonly basis: number;
  readonly scratch: number;
  readonly attention: AttendRoom;
}

function roomFor({heap, shape, dim, rows}: Step, latents: readonly LatentSegment[], described: number): Room {
  let bytes = 0;
  const take = (floatsPerRow: number) => {
    const at = bytes;
    bytes += (4 * rows * floatsPerRow + 15) & ~15;
    return at;
  };
  const most = (floatsPerRow: (latent: LatentSegment) => number) =>
    take(Math.max(...latents.map(floatsPerRow)));
  const partials = latents.map(() => take(dim + 2));
  const offsets = {
    ...{seen: take(2), seenByLatents: take(2), shift: take(1)},
    queries: most(({keyBasis}) => (keyBasis ? basisShape(keyBasis)[2] : 0)),
    angles: most(({rotatedMean}) => rotatedMean?.shape[3] ?? 0),
    partial: most(({stored}) => stored.attributes.values.dim + 2),
    // rows of a basis belong to key heads, of which there are not more than rows of queries
    basis: most(({keyBasis, valueBasis}) => Math.max(decodedNumbers(keyBasis), decodedNumbers(valueBasis))),
  };
  const each = latents.map(({stored}, index) =>
    attendBytes(heap, shape, stored, described + index * latentBytes),
  );
  const work = {
    scratch: Math.max(...each.map(({scratch}) => scratch)),
    partial: Math.max(...each.map(({partial}) => partial)),
  };
  bytes = wholeLines(bytes);
  const base = heap.scratch(bytes + Math.max(heap.kernels.decodeTokensScratch(), allBytes(heap, work)));
  return {
    partials: partials.map(at => base + at),
    seen: base + offsets.seen,
    seenByLatents: base + offsets.seenByLatents,
    shift: base + offsets.shift,
    queries: base + offsets.queries,
    angles: base + offsets.angles,
    partial: base + offsets.partial,
    basis: base + offsets.basis,
    scratch: base + bytes,
    attention: attendRoom(heap, base + bytes, work),
  };
}

/** Writes the partial of one segment to an address, and adds it to what has been seen. */
function attendLatent(
  {heap, queries, shape, dim, rows, attended}: Step,
  {stored, isExact, keyBasis, keyMean, rotatedMean, isInterleaved, valueBasis, valueMean}: LatentSegment,
  room: Room,
  partial: number,
  described: number,
): void {
  const {kernels} = heap;
  const [batch, , , width] = shape;
  const {scale, keys, values} = stored.attributes;
  const kvHeads = batch * kvHeadsOf(keys, stored.inputs.keyData);
  const rowsOfHead = rows / kvHeads;
  const floatBasis = (basis: Basis | undefined, descriptor: number) => {
    if (basis === undefined) return 0;
    if (basis instanceof tf.Tensor) return heap.address(basis);
    kernels.decodeTokens(descriptor, kvHeads, 0, basisShape(basis)[2], room.basis, room.scratch);
    return room.basis;
  };
  const project = (basis: number, rank: number, to: number) => {
    kernels.project(queries, basis, to, kvHeads, rowsOfHead, width, rank);
  };
  if (keyBasis !== undefined) {
    project(floatBasis(keyBasis, described + segmentBytes), basisShape(keyBasis)[2], room.queries);
  }
  if (rotatedMean !== undefined) {
    const mean = heap.address(rotatedMean);
    kernels.meanAngles(
      queries,
      mean,
      room.angles,
      kvHeads,
      rowsOfHead,
      width,
      width / 2,
      isInterleaved ? 1 : 0,
    );
  }
  if (keyMean !== undefined) {
    project(heap.address(keyMean), 1, room.shift);
    kernels.shiftSeen(room.seen, room.shift, scale, room.seenByLatents, rows);
  }
  const isExpanded = keyMean !== undefined || valueBasis !== undefined || valueMean !== undefined;
  attendInto(isExpanded ? room.partial : partial, heap, shape, stored, {
    queries: keyBasis === undefined ? queries : room.queries,
    ...{described, room: room.attention, attended},
    angles: rotatedMean === undefined ? 0 : room.angles,
    anglesOfRow: width,
    seen: isExact ? 0 : keyMean === undefined ? room.seen : room.seenByLatents,
  });
  if (isExpanded) {
    const basis = floatBasis(valueBasis, described + segmentBytes + descriptorBytes);
    const mean = valueMean === undefined ? 0 : heap.address(valueMean);
    kernels.expandPartial(
      ...([room.partial, basis, mean] as const),
      ...([
        keyMean === undefined ? 0 : room.shift,
        partial,
        kvHeads,
        rowsOfHead,
        values.dim,
        dim,
        scale,
      ] as const),
    );
  }
  kernels.addToSeen(room.seen, partial, rows, dim);
}
