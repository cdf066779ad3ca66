import * as tf from '@tensorflow/tfjs';
import {encodeFloat8} from '../../ops/float8/index.js';
import type {Encoding, TokenEncoding} from '../../ops/encodings/encoding.js';
import type {IntegerBits} from '../../ops/encodings/integer.js';
import type {Width} from '../../ops/encodings/lloyd_max_levels.js';
import {quantize} from '../../ops/integer/index.js';
import {quantizeLloydMax} from '../../ops/lloyd_max/index.js';

/** How a codec stores the two sides of one depth, given tokens of any dim; what it makes is the caller's to dispose of. */
export interface BenchCodec {
  readonly keys: (tokens: TokensOfDim) => Encoding;
  readonly values: (tokens: TokensOfDim) => Encoding;
  /** Whether keys, or their mean, are rotated while attention runs. */
  readonly rotated?: boolean;
}

/** Random tokens `[1, kvHeads, tokens, dim]`: by default of the head's dim, the same each time and not to be disposed of. */
export type TokensOfDim = (dim?: number) => tf.Tensor4D;

type Encode = (x: tf.Tensor4D) => TokenEncoding;

/** A copy: every depth has memory of its own. */
const dense: Encode = x => ({kind: 'dense', dim: x.shape[3], data: tf.add(x, 0)});

const integer =
  (bits: IntegerBits, groupAxis: 'channel' | 'token'): Encode =>
  x =>
    quantize(x, {dim: x.shape[3], bits, groupAxis, groupSize: 64, symmetric: false});

const float8: Encode = x => encodeFloat8(x, {format: 'e4m3'});

const stored = (encode: Encode) => (tokens: TokensOfDim) => encode(tokens());

/** A quarter of the channels, with coefficients of size 1 like any other codec's numbers here. */
function lowRank(encode: Encode, rotate = false) {
  return (tokens: TokensOfDim): Encoding => {
    const [, kvHeads, , dim] = tokens().shape;
    const rank = dim / 4;
    const basis: tf.Tensor4D = tf.randomNormal([1, kvHeads, rank, dim], 0, rank ** -0.5);
    return {kind: 'lowRank', dim, rank, basis, latents: encode(tokens(rank)), rotate};
  };
}

/** Bits of eighths of the channels, as profiles have them: of 2.5 and of 4.4 bits in the mean. */
const widths: {readonly [bits: string]: readonly Width[]} = {
  '2.5': [6, 4, 3, 2, 2, 2, 1, 0],
  '4.4': [8, 6, 5, 5, 4, 4, 2, 1],
};

/** All channels as Lloyd-Max codes in another basis; of keys, with a mean that is rotated to each token's position. */
function lloydMax(bits: string, mean = false) {
  return (tokens: TokensOfDim): Encoding => {
    const z = tokens();
    const [, kvHeads, , dim] = z.shape;
    const groups = dim / 8;
    // heads have these bits in another order each, so that they begin at other places
    const ofHead = (head: number) =>
      Array.from(
        {length: groups},
        (_, group) => widths[bits]![(Math.floor((8 * group) / groups) + head) % 8]!,
      );
    const latents = quantizeLloydMax(
      z,
      Array.from({length: kvHeads}, (_, head) => ofHead(head)),
    );
    const basis: tf.Tensor4D = tf.randomNormal([1, kvHeads, dim, dim], 0, dim ** -0.5);
    const rotatedMean: tf.Tensor4D = tf.randomNormal([1, kvHeads, 1, dim]);
    if (!mean) rotatedMean.dispose();
    return {kind: 'lowRank', dim, rank: dim, basis, latents, ...(mean && {rotatedMean})};
  };
}

const both = (encode: Encode): BenchCodec => ({keys: stored(encode), values: stored(encode)});

/** Integer keys have groups along tokens, values along channels. */
const integerCodecs = ([8, 6, 5, 4, 3, 2] as const).map(
  bits =>
    [`int${bits}`, {keys: stored(integer(bits, 'channel')), values: stored(integer(bits, 'token'))}] as const,
);

/** The codecs that are compared, by their names in a row. */
export const benchCodecs: {readonly [name: string]: BenchCodec} = {
  dense: both(dense),
  ...Object.fromEntries(integerCodecs),
  int8PerToken: both(integer(8, 'token')),
  float8: both(float8),
  lowRank: {keys: lowRank(dense), values: lowRank(dense)},
  lowRankValues: {keys: stored(dense), values: lowRank(dense)},
  lowRankRotated: {keys: lowRank(dense, true), values: lowRank(dense), rotated: true},
  lowRankInt8: {keys: lowRank(integer(8, 'channel')), values: lowRank(integer(8, 'token'))},
  'lloydMax2.5': {keys: lloydMax('2.5'), values: lloydMax('2.5')},
  'lloydMax4.4': {keys: lloydMax('4.4'), values: lloydMax('4.4')},
  'lloydMax2.5Mean': {keys: lloydMax('2.5', true), values: lloydMax('2.5'), rotated: true},
};
