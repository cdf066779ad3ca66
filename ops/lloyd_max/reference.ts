import * as tf from '@tensorflow/tfjs';
import {
  exponentOf,
  groupChannels,
  inverseScales,
  placesOfHead,
  scaleWords,
  tileTokens,
  wordsOfHead,
  wordsOfTile,
  writeExponent,
  type LloydMaxLayout,
  type PlanePlace,
} from '../encodings/lloyd_max_layout.js';
import {levelsOf, nearestLevel, type Levels} from '../encodings/lloyd_max_levels.js';
import {hostNumbers} from '../host_numbers.js';

/** What coding one channel takes; its planes and levels are empty if it has 0 bits. */
interface Channel {
  readonly levels: Levels;
  readonly places: readonly PlanePlace[];
}

/**
 * `quantizeLloydMax` in loops over the numbers. A number divided by its scale is `fround(z * fround(1 / s))`, and its level is the
 * one after all midpoints less than that. Sums are in float64; a kernel that rounds them may choose the neighbouring scale if
 * a fitted one is as near to both.
 */
export function quantizeLloydMaxReference(
  {z}: {z: tf.Tensor4D},
  {dim, widths}: LloydMaxLayout,
): tf.Tensor4D[] {
  const [batch, kvHeads, tokens] = z.shape;
  const tiles = tokens / tileTokens;
  const numbers = hostNumbers(z);
  const heads = widths.map(channelsOfHead);
  const codeWords = wordsOfTile({dim, widths});
  const codes = new Int32Array(batch * tiles * codeWords);
  const exponents = new Int32Array(batch * tiles * kvHeads * scaleWords);
  for (let text = 0; text < batch; text++) {
    let firstWord = 0;
    for (const [head, channels] of heads.entries()) {
      for (let token = 0; token < tokens; token++) {
        const from = ((text * kvHeads + head) * tokens + token) * dim;
        const row = numbers.subarray(from, from + dim);
        const exponent = fittedExponent(row, channels);
        const tile = text * tiles + Math.floor(token / tileTokens);
        const inTile = token % tileTokens;
        writeExponent(exponents, (tile * kvHeads + head) * scaleWords, inTile, exponent);
        writeCodes(codes, tile * codeWords + firstWord, inTile, row, channels, exponent);
      }
      firstWord += wordsOfHead(widths[head]!);
    }
  }
  return [
    tf.tensor4d(codes, [batch, 1, tiles, codeWords], 'int32'),
    tf.tensor4d(exponents, [batch, 1, tiles, kvHeads * scaleWords], 'int32'),
  ];
}

function channelsOfHead(widths: LloydMaxLayout['widths'][number]): Channel[] {
  return placesOfHead(widths).map((places, channel) => ({
    places,
    levels: levelsOf(widths[Math.floor(channel / groupChannels)]!),
  }));
}

/** The exponent of a token's scale: of the root mean square first, then of the best factor of the levels found with that. */
function fittedExponent(z: ArrayLike<number>, channels: readonly Channel[]): number {
  let [squares, count] = [0, 0];
  for (const [channel, {places}] of channels.entries()) {
    if (places.length === 0) continue;
    squares += z[channel]! ** 2;
    count++;
  }
  if (count === 0) return 0;
  const inverse = inverseScales[exponentOf(Math.sqrt(squares / count))]!;
  let [product, norm] = [0, 0];
  for (const [channel, {places, levels}] of channels.entries()) {
    if (places.length === 0) continue;
    const level = levels.levels[nearestLevel(levels, Math.fround(z[channel]! * inverse))]!;
    product += z[channel]! * level;
    norm += level ** 2;
  }
  return exponentOf(product / norm);
}

/** `at` is the first word of the tile and head. */
function writeCodes(
  words: Int32Array,
  at: number,
  token: number,
  z: ArrayLike<number>,
  channels: readonly Channel[],
  exponent: number,
): void {
  const inverse = inverseScales[exponent]!;
  for (const [channel, {places, levels}] of channels.entries()) {
    let code = levels.codes[nearestLevel(levels, Math.fround(z[channel]! * inverse))]!;
    for (const {plane, vector, bit} of places.toReversed()) {
      const value = code & (2 ** plane.bits - 1);
      code >>= plane.bits;
      words[at + 4 * vector + (token >> 2)]! |= value << (8 * (token & 3) + bit);
    }
  }
}
