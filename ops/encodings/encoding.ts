import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';

/**
 * An *encoding* is one side (the keys, or the values) of a run of tokens as it lies in memory. Codecs make encodings; attention
 * reads them directly, tile by tile, so keys and values may be stored in different encodings.
 *
 * Every tensor of an encoding has axes `[batch, kvHeads, rows, columns]`; `tensorsOf` says how many tokens one row covers. The
 * row axis may have spare capacity: how many tokens are valid is known to whoever holds the encoding.
 */
export type Encoding = TokenEncoding | LowRankEncoding;

/** An encoding in which every token's numbers stand for themselves. */
export type TokenEncoding = DenseEncoding | IntegerEncoding | Float8Encoding;

/** Plain float32 numbers: `data [batch, kvHeads, tokens, dim]`. */
export interface DenseEncoding {
  readonly kind: 'dense';
  readonly dim: number;
  readonly data: tf.Tensor4D;
}

/**
 * Integer codes of 8, 4 or 2 bits with a scale and a zero point per group: `x ~ (code + zero) * scale`.
 *
 * `codes` int32 `[batch, kvHeads, tokens, ceil(dim * bits / 32)]`: each word holds 32 / bits consecutive channels,
 * channel e of a word at bits `bits * e`. `params` int32, one word a group: the scale as bfloat16 in the upper half, the
 * zero point as a signed integer in the lower. A group is `groupSize` consecutive tokens of one channel
 * (`groupAxis: 'channel'`, params `[batch, kvHeads, tokens / groupSize, dim]`) or `groupSize` consecutive channels of one
 * token (`groupAxis: 'token'`, params `[batch, kvHeads, tokens, ceil(dim / groupSize)]`).
 */
export interface IntegerEncoding extends IntegerLayout {
  readonly kind: 'integer';
  readonly codes: tf.Tensor4D;
  readonly params: tf.Tensor4D;
}

/** How integer codes are grouped and packed. */
export interface IntegerLayout {
  readonly dim: number;
  readonly bits: 8 | 4 | 2;
  readonly groupAxis: 'channel' | 'token';
  readonly groupSize: number;
}

/**
 * Eight-bit floating point numbers (Micikevicius et al., 2022, arXiv 2209.05433) with one scale a token:
 * `x ~ decode(code) * scale`.
 *
 * `codes` int32 `[batch, kvHeads, tokens, ceil(dim / 4)]`: four codes a word, channel e of a word at bits `8 * e`. `scales`
 * float32 `[batch, kvHeads, tokens, 1]`: the token's largest magnitude divided by the format's largest number.
 */
export interface Float8Encoding extends Float8Layout {
  readonly kind: 'float8';
  readonly codes: tf.Tensor4D;
  readonly scales: tf.Tensor4D;
}

/**
 * `e4m3`: three bits of mantissa, largest number 448, no infinity, NaN is 0x7f and 0xff. `e5m2`: two bits of mantissa,
 * largest number 57344, infinities and NaN as in IEEE 754.
 */
export interface Float8Layout {
  readonly dim: number;
  readonly format: 'e4m3' | 'e5m2';
}

/**
 * Tokens as coefficients (latents) of a basis that all tokens of a head share: `x ~ latents . basis + mean`.
 *
 * `latents` is any encoding of single tokens, of dim `rank`; `basis` float32 `[batch, kvHeads, rank, dim]`; `mean` float32
 * `[batch, kvHeads, 1, dim]`. Attention runs in the latents' space (q . (z B) = (q B^T) . z) and never rebuilds tokens,
 * except where `rotate` says that these are keys stored before their rotary embedding: those are rebuilt and rotated at
 * their own positions, tile by tile (Eigen Attention, arXiv 2408.05646).
 */
export interface LowRankEncoding {
  readonly kind: 'lowRank';
  readonly dim: number;
  readonly rank: number;
  readonly latents: TokenEncoding;
  readonly basis: tf.Tensor4D;
  readonly mean?: tf.Tensor4D;
  readonly rotate?: boolean;
}

/** An encoding of single tokens without its tensors: what a kernel needs to know to read them. */
export type TokenLayout =
  | {readonly kind: 'dense'; readonly dim: number}
  | ({readonly kind: 'integer'} & IntegerLayout)
  | ({readonly kind: 'float8'} & Float8Layout);

export function layoutOf(encoding: TokenEncoding): TokenLayout {
  switch (encoding.kind) {
    case 'dense':
      return {kind: 'dense', dim: encoding.dim};
    case 'integer': {
      const {kind, dim, bits, groupAxis, groupSize} = encoding;
      return {kind, dim, bits, groupAxis, groupSize};
    }
    case 'float8':
      return {kind: 'float8', dim: encoding.dim, format: encoding.format};
  }
}

/** One tensor of an encoding. */
export interface EncodingTensor {
  readonly tensor: tf.Tensor4D;
  /** How many tokens one row covers; Infinity where all tokens share the tensor, as they do a basis. */
  readonly tokensPerRow: number;
}

/** An encoding's tensors by name. The names of a low-rank encoding's latents begin with `latents.`. */
export function tensorsOf(encoding: Encoding): {[name: string]: EncodingTensor} {
  const tensors: {[name: string]: EncodingTensor} = {};
  mapTensors(encoding, (tensor, name, tokensPerRow) => {
    tensors[name] = {tensor, tokensPerRow};
    return tensor;
  });
  return tensors;
}

/** The same encoding with each of its tensors replaced; `tokensPerRow` is Infinity for those that all tokens share. */
export function mapTensors<F extends Encoding>(
  encoding: F,
  change: (tensor: tf.Tensor4D, name: string, tokensPerRow: number) => tf.Tensor4D,
): F;
export function mapTensors(
  encoding: Encoding,
  change: (tensor: tf.Tensor4D, name: string, tokensPerRow: number) => tf.Tensor4D,
): Encoding {
  switch (encoding.kind) {
    case 'dense':
      return {...encoding, data: change(encoding.data, 'data', 1)};
    case 'integer':
      return {
        ...encoding,
        codes: change(encoding.codes, 'codes', 1),
        params: change(encoding.params, 'params', encoding.groupAxis === 'channel' ? encoding.groupSize : 1),
      };
    case 'float8':
      return {
        ...encoding,
        codes: change(encoding.codes, 'codes', 1),
        scales: change(encoding.scales, 'scales', 1),
      };
    case 'lowRank':
      return {
        ...encoding,
        latents: mapTensors(encoding.latents, (tensor, name, tokensPerRow) =>
          change(tensor, `latents.${name}`, tokensPerRow),
        ),
        basis: change(encoding.basis, 'basis', Infinity),
        ...(encoding.mean && {mean: change(encoding.mean, 'mean', Infinity)}),
      };
  }
}

/** The batch and the number of key heads of an encoding. */
export function headsOf(encoding: Encoding): {batch: number; kvHeads: number} {
  switch (encoding.kind) {
    case 'dense':
      return {batch: encoding.data.shape[0], kvHeads: encoding.data.shape[1]};
    case 'integer':
    case 'float8':
      return {batch: encoding.codes.shape[0], kvHeads: encoding.codes.shape[1]};
    case 'lowRank':
      return headsOf(encoding.latents);
  }
}

/** How many tokens fit into an encoding without growing it. */
export function capacityOf(encoding: Encoding): number {
  switch (encoding.kind) {
    case 'dense':
      return encoding.data.shape[2];
    case 'integer': {
      const perRow = encoding.groupAxis === 'channel' ? encoding.groupSize : 1;
      return Math.min(encoding.codes.shape[2], encoding.params.shape[2] * perRow);
    }
    case 'float8':
      return Math.min(encoding.codes.shape[2], encoding.scales.shape[2]);
    case 'lowRank':
      return capacityOf(encoding.latents);
  }
}

/** The bytes that an encoding's tensors take, spare capacity, scales and zero points included. */
export function encodingBytes(encoding: Encoding): number {
  // float32 and int32 are the only dtypes of encodings: 4 bytes an element
  return Object.values(tensorsOf(encoding)).reduce((sum, {tensor}) => sum + tensor.size * 4, 0);
}

/** Checks that a tensor is `[batch, heads, tokens, dim]`. */
export function expectRank4(tensor: tf.Tensor, what: string): void {
  if (tensor.rank !== 4) {
    throw new InvalidArgumentError(
      `${what} has shape [${tensor.shape.join(', ')}]; expected four axes [batch, heads, tokens, dim].`,
    );
  }
}
