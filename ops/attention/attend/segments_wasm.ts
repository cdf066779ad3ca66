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
    for (let index = 0; index < latents.length; index++) {
      attendLatent(step, latents[index]!, room, room.partials[index]!, described + index * latentBytes);
    }
    const partials = heap.words(room.partials);
    heap.kernels.mergePartials(partials, latents.length, heap.address(out!), step.rows, dim);
  });
  return output!;
}

/** Exact tokens, then the newest of the others: how exact tokens have to be read depends on their part of the whole. */
function mostAttendedFirst(segments: readonly LatentSegment[]): readonly LatentSegment[] {
  if (segments.length === 1) return segments;
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
  // the most that a segment takes, in floats of a row and in bytes
  let [queryFloats, angleFloats, partialFloats, basisFloats, scratch, partial] = [0, 0, 0, 0, 0, 0];
  let segment = described;
  for (const {stored, keyBasis, rotatedMean, valueBasis} of latents) {
    if (keyBasis !== undefined) queryFloats = Math.max(queryFloats, basisShape(keyBasis)[2]);
    if (rotatedMean !== undefined) angleFloats = Math.max(angleFloats, rotatedMean.shape[3]);
    partialFloats = Math.max(partialFloats, stored.attributes.values.dim + 2);
    // rows of a basis belong to key heads, of which there are not more than rows of queries
    basisFloats = Math.max(basisFloats, decodedNumbers(keyBasis), decodedNumbers(valueBasis));
    const own = attendBytes(heap, shape, stored, segment);
    scratch = Math.max(scratch, own.scratch);
    partial = Math.max(partial, own.partial);
    segment += latentBytes;
  }
  const work = {scratch, partial};
  const merged = aligned(rows * (dim + 2));
  const seen = latents.length * merged;
  const seenByLatents = seen + aligned(rows * 2);
  const shift = seenByLatents + aligned(rows * 2);
  const queries = shift + aligned(rows);
  const angles = queries + aligned(rows * queryFloats);
  const ofSegment = angles + aligned(rows * angleFloats);
  const basis = ofSegment + aligned(rows * partialFloats);
  const bytes = wholeLines(basis + aligned(rows * basisFloats));
  const base = heap.scratch(bytes + Math.max(heap.kernels.decodeTokensScratch(), allBytes(heap, work)));
  return {
    partials: latents.map((_, index) => base + index * merged),
    seen: base + seen,
    seenByLatents: base + seenByLatents,
    shift: base + shift,
    queries: base + queries,
    angles: base + angles,
    partial: base + ofSegment,
    basis: base + basis,
    scratch: base + bytes,
    attention: attendRoom(heap, base + bytes, work),
  };
}

/** Bytes of so many floats, in whole vectors. */
const aligned = (floats: number): number => (4 * floats + 15) & ~15;

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
  if (keyBasis !== undefined) {
    const basis = floatBasis(heap, keyBasis, kvHeads, described + segmentBytes, room);
    kernels.project(queries, basis, room.queries, kvHeads, rowsOfHead, width, basisShape(keyBasis)[2]);
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
    kernels.project(queries, heap.address(keyMean), room.shift, kvHeads, rowsOfHead, width, 1);
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
    const descriptor = described + segmentBytes + descriptorBytes;
    const basis = valueBasis === undefined ? 0 : floatBasis(heap, valueBasis, kvHeads, descriptor, room);
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

/** The address of a basis as floats: its own, or that of its decoded codes. */
function floatBasis(heap: WasmHeap, basis: Basis, kvHeads: number, descriptor: number, room: Room): number {
  if (basis instanceof tf.Tensor) return heap.address(basis);
  heap.kernels.decodeTokens(descriptor, kvHeads, 0, basisShape(basis)[2], room.basis, room.scratch);
  return room.basis;
}
