import * as tf from '@tensorflow/tfjs';
import {
  exponentAt,
  scaleWords,
  tileTokens,
  vectorsOfHead,
  wordsOfTile,
  writeExponent,
  type LloydMaxLayout,
} from '../encodings/lloyd_max_layout.js';
import {indicesOutside} from '../gather_tokens/checks.js';
import {hostNumbers} from '../host_numbers.js';

/** `codes` and `scales` as in `LloydMaxEncoding`, `indices` int32 `[batch, kvHeads, kept]`. */
export type GatherTiledInputs = {codes: tf.Tensor4D; scales: tf.Tensor4D; indices: tf.Tensor3D};

/** `gatherTiled` in loops on the host. */
export function gatherTiledReference(
  {codes, scales, indices}: GatherTiledInputs,
  layout: LloydMaxLayout,
): tf.Tensor4D[] {
  const [batch, kvHeads, kept] = indices.shape;
  const sizes = {batch, tiles: codes.shape[2], kept};
  const [codeWords, scaleColumns] = [wordsOfTile(layout), scaleWords * kvHeads];
  const tiles = kept / tileTokens;
  const from = {codes: Int32Array.from(hostNumbers(codes)), scales: Int32Array.from(hostNumbers(scales))};
  const to = {
    codes: new Int32Array(batch * tiles * codeWords),
    scales: new Int32Array(batch * tiles * scaleColumns),
  };
  copyTokens(from, to, Int32Array.from(hostNumbers(indices)), sizes, layout);
  return [
    tf.tensor4d(to.codes, [batch, 1, tiles, codeWords], 'int32'),
    tf.tensor4d(to.scales, [batch, 1, tiles, scaleColumns], 'int32'),
  ];
}

interface Words {
  readonly codes: Int32Array;
  readonly scales: Int32Array;
}

interface Sizes {
  readonly batch: number;
  /** Of `from`. */
  readonly tiles: number;
  readonly kept: number;
}

/**
 * Copies the byte of each kept token in every vector of its head, and its scale.
 * @param to words of whole tiles; its scales are zeros.
 * @throws InvalidArgumentError if an index names no token.
 */
export function copyTokens(
  from: Words,
  to: Words,
  indices: Int32Array,
  {batch, tiles, kept}: Sizes,
  {widths}: LloydMaxLayout,
): void {
  const tokens = tiles * tileTokens;
  const outside = indices.reduce((count, index) => count + (index < 0 || index >= tokens ? 1 : 0), 0);
  if (outside > 0) throw indicesOutside(outside, tokens, 1);
  const [source, target] = [bytesOf(from.codes), bytesOf(to.codes)];
  const tileBytes = vectorBytes * widths.reduce((sum, ofHead) => sum + vectorsOfHead(ofHead), 0);
  const scaleColumns = scaleWords * widths.length;
  for (let text = 0; text < batch; text++) {
    let firstByte = 0;
    for (const [head, ofHead] of widths.entries()) {
      const bytes = vectorBytes * vectorsOfHead(ofHead);
      for (let token = 0; token < kept; token++) {
        const index = indices[(text * widths.length + head) * kept + token]!;
        const [tile, inTile] = [text * tiles + (index >> 4), index & 15];
        const [toTile, toInTile] = [(text * kept) / tileTokens + (token >> 4), token & 15];
        const [at, toAt] = [tile * tileBytes + firstByte + inTile, toTile * tileBytes + firstByte + toInTile];
        for (let vector = 0; vector < bytes; vector += vectorBytes)
          target[toAt + vector] = source[at + vector]!;
        const exponent = exponentAt(from.scales, tile * scaleColumns + head * scaleWords, inTile);
        writeExponent(to.scales, toTile * scaleColumns + head * scaleWords, toInTile, exponent);
      }
      firstByte += bytes;
    }
  }
}

/** Bytes of a vector: one per token of a tile. */
const vectorBytes = tileTokens;

const bytesOf = ({buffer, byteOffset, byteLength}: Int32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);
