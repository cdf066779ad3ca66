import * as tf from '@tensorflow/tfjs';
import {wasmHeap, type WasmHeap} from '../../backends/wasm_heap.js';
import {integerKind} from '../../encodings/integer.js';
import {type Basis, tokenEncodingOf} from '../../encodings/low_rank.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import {describeEncoding, descriptorBytes} from '../../encodings/wasm.js';
import type {InfoOf} from '../../run_op.js';
import {storedSegment} from './index.js';
import {missingRotation} from './stored_keys.js';
import type {AttendedSegment, StoredKeys, StoredSegment} from './types.js';
import {attendInto, attendScratch, describeSegment, segmentBytes, type Shape} from './wasm.js';

// All segments of a decoding step in one op: the kernels of `project`, `meanAngles`, `attend`, `expandPartial` and `mergePartials` in turn,
// whose results lie in scratch memory.

/** The partials of a long prompt are too large for scratch memory. */
const fewTokens = 16;

/** Whether all segments are attended in one op. Not if a rotated mean has channels without a rotation: those are added by other ops. */
export function isFused([, , queryTokens]: Shape, segments: readonly AttendedSegment[]): boolean {
  return (
    queryTokens <= fewTokens &&
    segments.every(
      ({keys, keyRotation}) =>
        keys.kind !== 'lowRank' ||
        keys.rotatedMean === undefined ||
        keyRotation === undefined ||
        2 * keyRotation.cos.shape[1] === keys.dim,
    )
  );
}

/** A segment of token encodings, and what turns queries to its keys' latents and outputs back to values. */
interface Latent {
  readonly stored: StoredSegment;
  /** Whether keys and values are float32. */
  readonly isExact: boolean;
  /** Of keys: `[batch, kvHeads, rank, dim]`, `[batch, kvHeads, 1, dim]` both. */
  readonly keyBasis?: Basis | undefined;
  readonly keyMean?: tf.Tensor4D | undefined;
  readonly rotatedMean?: tf.Tensor4D | undefined;
  readonly isInterleaved?: boolean;
  readonly valueBasis?: Basis | undefined;
  readonly valueMean?: tf.Tensor4D | undefined;
}

export function attendSegmentsWasm(
  queries: InfoOf<tf.Tensor4D>,
  segments: readonly AttendedSegment[],
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, queryTokens] = queries.shape;
  const dim = segments[0]!.values.dim;
  const output = heap.output([batch, heads, queryTokens, dim], 'float32');
  // exact tokens first: how exact others have to be depends on their part of the whole
  const latents = segments.map(latentOf).sort((a, b) => Number(b.isExact) - Number(a.isExact));
  let words: number[] = [];
  for (const latent of latents) words = words.concat(describeLatent(heap, latent)); // flatMap takes ten times longer
  const described = heap.words(words);
  const step = {
    heap,
    queries: heap.address(queries),
    shape: queries.shape,
    dim,
    rows: batch * heads * queryTokens,
  };
  const room = roomFor(step, latents, described);
  heap.kernels.startSeen(room.seen, step.rows);
  for (const [index, latent] of latents.entries()) {
    attendLatent(step, latent, room, room.partials[index]!, described + index * latentBytes);
  }
  heap.kernels.mergePartials(heap.words(room.partials), latents.length, heap.address(output), step.rows, dim);
  return output;
}

/** What all segments of a call share. */
interface Step {
  readonly heap: WasmHeap;
  readonly queries: number;
  readonly shape: Shape;
  /** Of the values. */
  readonly dim: number;
  readonly rows: number;
}

function latentOf(segment: AttendedSegment): Latent {
  const {keys, values, keyRotation} = segment;
  const ofValues = tokenEncodingOf(values);
  const valueLatent = values.kind === 'lowRank' ? {valueBasis: values.basis, valueMean: values.mean} : {};
  if (keys.kind !== 'lowRank' || keys.rotate === true) {
    const stored = storedSegment(keys as StoredKeys, ofValues, segment);
    return {stored, isExact: keys.kind === 'dense' && values.kind === 'dense', ...valueLatent};
  }
  const {latents, basis, mean, rotatedMean} = keys;
  if (rotatedMean !== undefined && keyRotation === undefined) throw missingRotation('have a rotated mean');
  return {
    stored: storedSegment(latents, ofValues, segment, rotatedMean !== undefined),
    isExact: false,
    ...{keyBasis: basis, keyMean: mean, rotatedMean, isInterleaved: keyRotation?.interleaved === true},
    ...valueLatent,
  };
}

/** Descriptors of a segment, and of the codes of its bases. */
function describeLatent(heap: WasmHeap, {stored, keyBasis, valueBasis}: Latent): number[] {
  return describeSegment(heap, stored).concat(describeBasis(heap, keyBasis), describeBasis(heap, valueBasis));
}

const latentBytes = segmentBytes + 2 * descriptorBytes;

function describeBasis(heap: WasmHeap, basis: Basis | undefined): number[] {
  if (basis === undefined || basis instanceof tf.Tensor) return noDescriptor;
  return describeEncoding(heap, integerKind.layout(basis), basis.codes, basis.params);
}

const noDescriptor = Array<number>(descriptorBytes / 4).fill(0);

/** Numbers of a basis that has to be decoded first. */
function decodedNumbers(basis: Basis | undefined): number {
  return basis === undefined || basis instanceof tf.Tensor ? 0 : basis.codes.shape[2] * basis.dim;
}

/** `[batch, kvHeads, rank, dim]`. */
function rankOf(basis: Basis): number {
  return (basis instanceof tf.Tensor ? basis : basis.codes).shape[2];
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
}

function roomFor({heap, shape, dim, rows}: Step, latents: readonly Latent[], described: number): Room {
  let bytes = 0;
  const take = (floatsPerRow: number) => {
    const at = bytes;
    bytes += (4 * rows * floatsPerRow + 15) & ~15;
    return at;
  };
  const most = (floatsPerRow: (latent: Latent) => number) => take(Math.max(...latents.map(floatsPerRow)));
  const partials = latents.map(() => take(dim + 2));
  const offsets = {
    ...{seen: take(2), seenByLatents: take(2), shift: take(1)},
    queries: most(({keyBasis}) => (keyBasis ? rankOf(keyBasis) : 0)),
    angles: most(({rotatedMean}) => rotatedMean?.shape[3] ?? 0),
    partial: most(({stored}) => stored.attributes.values.dim + 2),
    // rows of a basis belong to key heads, of which there are not more than rows of queries
    basis: most(({keyBasis, valueBasis}) => Math.max(decodedNumbers(keyBasis), decodedNumbers(valueBasis))),
  };
  const work = latents.map(({stored}, index) =>
    attendScratch(heap, shape, stored, described + index * latentBytes),
  );
  const base = heap.scratch(bytes + Math.max(heap.kernels.decodeTokensScratch(), ...work));
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
  };
}

/** Writes the partial of one segment to an address, and adds it to what has been seen. */
function attendLatent(
  {heap, queries, shape, dim, rows}: Step,
  {stored, isExact, keyBasis, keyMean, rotatedMean, isInterleaved, valueBasis, valueMean}: Latent,
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
    kernels.decodeTokens(descriptor, kvHeads, 0, rankOf(basis), room.basis, room.scratch);
    return room.basis;
  };
  const project = (basis: number, rank: number, to: number) => {
    kernels.project(queries, basis, to, kvHeads, rowsOfHead, width, rank);
  };
  if (keyBasis !== undefined) {
    project(floatBasis(keyBasis, described + segmentBytes), rankOf(keyBasis), room.queries);
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
    ...{described, scratch: room.scratch},
    angles: rotatedMean === undefined ? 0 : room.angles,
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
