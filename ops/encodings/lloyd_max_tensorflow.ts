import {bytesOfRows, packBytes, unpackBytes, wordsOfRows} from '../backends/tensorflow_bytes.js';
import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';
import {
  placesOfHead,
  scales as scaleTable,
  scaleWords,
  tileTokens,
  vectorsOfHead,
  type LloydMaxLayout,
} from './lloyd_max_layout.js';
import type {Plane} from './lloyd_max_levels.js';

// How TensorFlow's ops read and write codes of `lloydMax`: all planes of as many bits in one op, whatever their head and group.

/** Where the planes of all channels of all heads lie. Channel c of head h is `h * dim + c` here. */
export interface PlaneTables {
  /** Vectors of all heads. */
  readonly vectors: number;
  /** Each number of bits that planes have. */
  readonly classes: readonly PlaneClass[];
  /** For each channel, the places of its planes, the upper one first, in a list of the numbers of all classes; `none` if it has none. */
  readonly places: readonly [upper: Int32Array, lower: Int32Array];
  /** The place behind all numbers. */
  readonly none: number;
}

interface PlaneClass {
  readonly bits: 1 | 2 | 4;
  /** The vectors that hold such planes, among those of all heads. */
  readonly vectors: readonly number[];
  /** For each of their numbers: its channel, and which of its channel's planes it is. */
  readonly channels: readonly number[];
  readonly isLower: readonly boolean[];
  readonly planes: readonly Plane[];
}

const known = new WeakMap<LloydMaxLayout['widths'], PlaneTables>();

export function planeTables({dim, widths}: LloydMaxLayout): PlaneTables {
  const tables = known.get(widths) ?? tablesOf(dim, widths);
  known.set(widths, tables);
  return tables;
}

function tablesOf(dim: number, widths: LloydMaxLayout['widths']): PlaneTables {
  const places = [0, 1].map(() => new Int32Array(widths.length * dim)) as [Int32Array, Int32Array];
  const numbers: {
    bits: 1 | 2 | 4;
    vector: number;
    bit: number;
    plane: Plane;
    channel: number;
    isLower: boolean;
  }[] = [];
  let firstVector = 0;
  for (const [head, ofHead] of widths.entries()) {
    for (const [channel, planes] of placesOfHead(ofHead).entries()) {
      for (const [which, {plane, vector, bit}] of planes.entries()) {
        const own = {
          vector: firstVector + vector,
          bit,
          plane,
          channel: head * dim + channel,
          isLower: which === 1,
        };
        numbers.push({bits: plane.bits, ...own});
      }
    }
    firstVector += vectorsOfHead(ofHead);
  }
  for (const side of places) side.fill(numbers.length);
  let at = 0;
  const classes = ([1, 2, 4] as const).map(bits => {
    const own = numbers
      .filter(number => number.bits === bits)
      .sort((a, b) => a.vector - b.vector || a.bit - b.bit);
    for (const {channel, isLower} of own) places[isLower ? 1 : 0][channel] = at++;
    return {
      bits,
      vectors: [...new Set(own.map(({vector}) => vector))],
      channels: own.map(({channel}) => channel),
      isLower: own.map(({isLower}) => isLower),
      planes: own.map(({plane}) => plane),
    };
  });
  return {
    vectors: firstVector,
    classes: classes.filter(({vectors}) => vectors.length > 0),
    ...{places, none: numbers.length},
  };
}

/** Tokens `from .. from + count`: float32 `[batch, kvHeads, count, dim]`. */
export function decodeLloydMax(
  ops: TensorflowOps,
  codes: Handle,
  scales: Handle,
  layout: LloydMaxLayout,
  from: number,
  count: number,
): Handle {
  const {dim, widths} = layout;
  const kvHeads = widths.length;
  const [batch] = codes.shape as [number];
  const firstTile = Math.floor(from / tileTokens);
  const tiles = Math.ceil((from + count) / tileTokens) - firstTile;
  const levels = levelsOfTiles(ops, ops.part(codes, 2, firstTile, tiles), layout);
  const ofTokens = ops.gather(
    ops.floats(scaleTable),
    ops.cast(exponentsOfTiles(ops, ops.part(scales, 2, firstTile, tiles), kvHeads), 'int32'),
  );
  const numbers = ops.mul(
    ops.reshape(levels, [batch, tiles, kvHeads, dim, tileTokens]),
    ops.reshape(ofTokens, [batch, tiles, kvHeads, 1, tileTokens]),
  );
  const byHead = ops.transpose(numbers, [0, 2, 1, 4, 3]);
  return ops.part(
    ops.reshape(byHead, [batch, kvHeads, tiles * tileTokens, dim]),
    2,
    from % tileTokens,
    count,
  );
}

/** The levels of all channels of all heads: float32 `[batch, tiles, kvHeads * dim, 16]`. */
function levelsOfTiles(ops: TensorflowOps, codes: Handle, layout: LloydMaxLayout): Handle {
  const {vectors, classes, places, none} = planeTables(layout);
  const [batch, , tiles] = codes.shape as [number, number, number];
  const words = vectors === 0 ? codes : ops.reshape(codes, [batch, tiles, vectors, tileTokens / 4]);
  const terms = classes.map(({bits, vectors: own, planes}) => {
    const perByte = 8 / bits;
    const kinds = [...new Set(planes)];
    const chosen = ops.gather(words, ops.constant(own, [own.length], 'int32'), 2);
    const bytes = ops.cast(bytesOfRows(ops, chosen), 'int32');
    // numbers of a byte belong to one plane of a group of channels
    const offsets = own.map((_, vector) => byteValues * kinds.indexOf(planes[vector * perByte]!));
    const entries =
      kinds.length === 1 ? bytes : ops.or(bytes, ops.constant(offsets, [own.length, 1], 'int32'));
    const table = ops.floats(kinds.flatMap(termsOfBytes), [kinds.length * byteValues, perByte]);
    const found = ops.reshape(ops.gather(table, entries), [batch, tiles, own.length, tileTokens, perByte]);
    const byChannel = ops.transpose(found, [0, 1, 2, 4, 3]);
    return ops.reshape(byChannel, [batch, tiles, planes.length, tileTokens]);
  });
  const nothing = ops.floats(new Float32Array(batch * tiles * tileTokens), [batch, tiles, 1, tileTokens]);
  const all = ops.concat([...terms, nothing], 2);
  const [upper, lower] = places.map(at => ops.gather(all, ops.constant(at, [at.length], 'int32'), 2)) as [
    Handle,
    Handle,
  ];
  return places[1].every(at => at === none) ? upper : ops.add(upper, lower);
}

const byteValues = 256;

/** The terms of the numbers in each byte. */
function termsOfBytes({bits, levels}: Plane): number[] {
  const perByte = 8 / bits;
  return Array.from(
    {length: byteValues * perByte},
    (_, i) => levels[(Math.floor(i / perByte) >> (bits * (i % perByte))) & (2 ** bits - 1)]!,
  );
}

/** The exponents of scales: uint8 `[batch, tiles, kvHeads, 16]`. */
export function exponentsOfTiles(ops: TensorflowOps, scales: Handle, kvHeads: number): Handle {
  const [batch, , tiles] = scales.shape as [number, number, number];
  const bytes = bytesOfRows(ops, ops.reshape(scales, [batch, tiles, kvHeads, scaleWords]));
  const lower = unpackBytes(ops, ops.part(bytes, 3, 0, 8), 4);
  const upper = unpackBytes(ops, ops.part(bytes, 3, 8, 4), 2);
  return ops.or(lower, ops.shiftLeft(upper, 4));
}

/** Words of scales `[batch, 1, tiles, 3 kvHeads]` of exponents, float32 `[batch, tiles, kvHeads, 16]`. */
export function packExponents(ops: TensorflowOps, exponents: Handle): Handle {
  const [batch, tiles, kvHeads] = exponents.shape as [number, number, number];
  const upper = ops.floor(ops.mul(exponents, 1 / 16));
  const lower = ops.sub(exponents, ops.mul(upper, 16));
  const bytes = ops.concat([packBytes(ops, lower, 4), packBytes(ops, upper, 2)], 3);
  return ops.reshape(wordsOfRows(ops, bytes), [batch, 1, tiles, scaleWords * kvHeads]);
}
