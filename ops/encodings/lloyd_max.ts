import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {atLeast} from '../../base/options.js';
import {hostNumbers} from '../host_numbers.js';
import type {TokenEncodingKind} from './kind.js';
import {
  exponentAt,
  groupChannels,
  placesOfHead,
  scales,
  scaleWords,
  tileTokens,
  wordsOfHead,
  type LloydMaxLayout,
  type PlanePlace,
} from './lloyd_max_layout.js';
import {isWidth, levelOf, type Width} from './lloyd_max_levels.js';
import {wasmTables} from './lloyd_max_wasm.js';
import {wgslOfUnit, wgslTables} from './lloyd_max_wgsl.js';

/**
 * Codes of 0 to 8 bits with one scale per token and head: `x ~ scale * level(code)`. The levels are those that code a standard
 * normal number with the least squared error (Lloyd, 1982; Max, 1960): see lloyd_max_levels.ts.
 *
 * Tokens lie in tiles of 16, and the heads of a text side by side, since their widths may differ. `codes` int32
 * `[batch, 1, tiles, 4 * sum of all widths of all heads]`: head after head, group after group. A group of width w is w vectors of
 * 16 bytes; byte j of a vector belongs to token j of the tile. Plane after plane (see `planesOf`), a plane of b bits has b
 * vectors. Each byte holds 8 / b channels of the group from its lowest bits on: vector i has channels `8 / b * i` and following.
 *
 * `scales` int32 `[batch, 1, tiles, 3 * kvHeads]`: `scale = 2^((e - 40) / 8)` with e of 6 bits. The lower four bits of e are in
 * the first word of a head for tokens 0 to 7 and in the second for tokens 8 to 15 (token j at bits `4 * (j & 7)`), the upper two
 * bits in the third (token j at bits `2 * j`).
 */
export interface LloydMaxEncoding extends LloydMaxLayout {
  readonly kind: 'lloydMax';
  readonly codes: tf.Tensor4D;
  readonly scales: tf.Tensor4D;
}

type KindedLayout = LloydMaxLayout & {readonly kind: 'lloydMax'};

const width = v.custom<Width>(isWidth, 'expected 0, 1, 2, 3, 4, 5, 6 or 8 bits');

export const lloydMaxKind: TokenEncodingKind<LloydMaxEncoding, KindedLayout> = {
  kind: 'lloydMax',
  schema: v.strictObject({
    kind: v.literal('lloydMax'),
    dim: atLeast(groupChannels),
    widths: v.pipe(v.array(v.array(width)), v.minLength(1)),
  }),
  layout: ({kind, dim, widths}) => ({kind, dim, widths}),
  make: (layout, tensor) => ({
    ...layout,
    codes: tensor('codes', sideBySide(layout.widths.map(wordsOfHead))),
    scales: tensor('scales', sideBySide(layout.widths.map(() => scaleWords))),
  }),
  tensors: ({codes, scales}) => ({codes, scales}),
  capacity: ({codes, scales}) => Math.min(codes.shape[2], scales.shape[2]) * tileTokens,
  kvHeads: ({widths}) => widths.length,
  data: ({codes}) => codes,
  params: ({scales}) => scales,
  decodeReference: (codes, scales, layout, from, count) => decodeOnHost(codes, scales!, layout, from, count),
  wasm: {kind: 3, layout: wasmTables, groupSize: ({widths}) => widths.length},
  wgsl: {
    unitsOfRow: ({dim}) => dim / groupChannels,
    functions: wgslTables,
    decodeUnit: (layout, _at, names, store) => wgslOfUnit(layout, names, store),
  },
};

const sideBySide = (headColumns: readonly number[]) =>
  ({
    dtype: 'int32',
    columns: headColumns.reduce((sum, columns) => sum + columns, 0),
    headColumns,
    tokensPerRow: tileTokens,
    areApart: true,
  }) as const;

/** In a loop over the numbers, as for integer codes. */
function decodeOnHost(
  codeTensor: tf.Tensor4D,
  scaleTensor: tf.Tensor4D,
  {dim, widths}: LloydMaxLayout,
  from: number,
  count: number,
): tf.Tensor4D {
  const [batch, , codeTiles, codeWords] = codeTensor.shape;
  const [, , scaleTiles, allScaleWords] = scaleTensor.shape;
  const codes = hostNumbers(codeTensor);
  const exponents = hostNumbers(scaleTensor);
  const heads = widths.map(placesOfHead);
  const out = new Float32Array(batch * heads.length * count * dim);
  let at = 0;
  for (let text = 0; text < batch; text++) {
    let firstWord = 0;
    for (const [head, places] of heads.entries()) {
      for (let token = from; token < from + count; token++) {
        const [tile, inTile] = [Math.floor(token / tileTokens), token % tileTokens];
        const tileAt = (text * codeTiles + tile) * codeWords + firstWord;
        const scaleAt = (text * scaleTiles + tile) * allScaleWords + head * scaleWords;
        const scale = scales[exponentAt(exponents, scaleAt, inTile)]!;
        for (const planes of places) out[at++] = scale * levelIn(codes, tileAt, inTile, planes);
      }
      firstWord += wordsOfHead(widths[head]!);
    }
  }
  return tf.tensor4d(out, [batch, heads.length, count, dim]);
}

/** The level of one channel of one token, of the planes' codes in a tile's words. */
function levelIn(
  words: ArrayLike<number>,
  tileAt: number,
  token: number,
  planes: readonly PlanePlace[],
): number {
  return levelOf(
    planes.map(({plane, vector, bit}) => {
      const word = words[tileAt + 4 * vector + (token >> 2)]!;
      return plane.levels[(word >>> (8 * (token & 3) + bit)) & (2 ** plane.bits - 1)]!;
    }),
  );
}
