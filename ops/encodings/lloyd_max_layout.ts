import {planesOf, type Plane, type Width} from './lloyd_max_levels.js';

// How the codes and scales of the kind `lloydMax` lie in their tensors: see `LloydMaxEncoding`.

/** How many bits each number of each head takes. */
export interface LloydMaxLayout {
  /** Numbers per token of one head; a multiple of `groupChannels`. */
  readonly dim: number;
  /** `[kvHeads][dim / 8]`: the bits of each number of a group of 8 consecutive channels. Heads may differ. */
  readonly widths: readonly (readonly Width[])[];
}

/** Tokens per tile. */
export const tileTokens = 16;
/** Channels that share a width. */
export const groupChannels = 8;
/** Words of `scales` per head of a tile. */
export const scaleWords = 3;

/** Vectors of 16 bytes that one head of a tile takes: one per bit of each group. */
export function vectorsOfHead(widths: readonly Width[]): number {
  return widths.reduce<number>((sum, bits) => sum + bits, 0);
}

/** Words of `codes` of one head of a tile. */
export const wordsOfHead = (widths: readonly Width[]): number => 4 * vectorsOfHead(widths);

/** Words of `codes` of a tile: those of all heads. */
export function wordsOfTile({widths}: LloydMaxLayout): number {
  return widths.reduce((sum, ofHead) => sum + wordsOfHead(ofHead), 0);
}

/** The scales that six bits stand for: float32 numbers from 1/32 to 7.34. */
export const scales: Float32Array = Float32Array.from({length: 64}, (_, e) => 2 ** ((e - 40) / 8));

/** What an encoder multiplies numbers by, instead of dividing them by a scale. */
export const inverseScales: Float32Array = scales.map(scale => 1 / scale);

/** The exponent of the scale that is nearest to `scale` by ratio; 0 if that is 0. */
export function exponentOf(scale: number): number {
  return Math.max(0, Math.min(63, Math.round(40 + 8 * Math.log2(scale))));
}

/** Where one plane of one channel lies in the bytes of its head: its vector, and the lowest of its bits in each byte. */
export interface PlanePlace {
  readonly plane: Plane;
  readonly vector: number;
  readonly bit: number;
}

/** The planes of each channel of a head, the upper bits first; none for a channel of width 0. */
export function placesOfHead(widths: readonly Width[]): PlanePlace[][] {
  let next = 0;
  return widths.flatMap(bits => {
    const planes = planesOf(bits).map(plane => ({plane, first: (next += plane.bits) - plane.bits}));
    return Array.from({length: groupChannels}, (_, channel) =>
      planes.map(({plane, first}) => {
        const at = channel * plane.bits;
        return {plane, vector: first + (at >> 3), bit: at & 7};
      }),
    );
  });
}

/** The exponent e of one token's scale; `at` is the first of the three words of its head and tile. */
export function exponentAt(words: ArrayLike<number>, at: number, token: number): number {
  const lower = (words[at + (token >> 3)]! >>> (4 * (token & 7))) & 15;
  return lower | (((words[at + 2]! >>> (2 * token)) & 3) << 4);
}

/** Writes the exponent of one token's scale; its bits in `words` are 0 before. */
export function writeExponent(words: Int32Array, at: number, token: number, exponent: number): void {
  words[at + (token >> 3)]! |= (exponent & 15) << (4 * (token & 7));
  words[at + 2]! |= (exponent >> 4) << (2 * token);
}
