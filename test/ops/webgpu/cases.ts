import * as tf from '@tensorflow/tfjs';
import type {Encoding} from '../../../ops/encodings/encoding.js';
import type {IntegerBits} from '../../../ops/encodings/integer.js';
import type {Width} from '../../../ops/encodings/lloyd_max_levels.js';
import {
  randomLowRank,
  randomRotation,
  randomTokens,
  type LowRankStorage,
  type TokenStorage,
} from '../../support/encodings.js';
import {randomFloats} from '../../support/random.js';

const dense = {kind: 'dense'} as const;
const integer = (bits: IntegerBits, groupAxis: 'channel' | 'token', groupSize: number) =>
  ({kind: 'integer', bits, groupAxis, groupSize, symmetric: false}) as const;
const float8 = (format: 'e4m3' | 'e5m2') => ({kind: 'float8', format}) as const;
const fewBits = (...widths: Width[]) => ({kind: 'lloydMax', widths}) as const;
const rank = (
  of: number,
  latents: LowRankStorage['latents'] = dense,
  mean = true,
): LowRankStorage & {rotate?: boolean} => ({
  ...{rank: of, mean, latents},
});

type Storage = TokenStorage | (LowRankStorage & {readonly rotate?: boolean});

export interface Case {
  readonly keys: Storage;
  readonly values: Storage;
  readonly batch?: number;
  readonly kvHeads?: number;
  readonly group?: number;
  readonly queryTokens?: number;
  readonly tokens: number;
  readonly dim?: number;
  readonly dimV?: number;
  /** The place of query 0 in the segment; nothing: not causal. */
  readonly firstQuery?: number;
  readonly biased?: true;
  readonly softCap?: number;
  /** A window of so many tokens, of queries that are the segment's last ones or as causal attention places them. */
  readonly window?: number;
  /** Whether its tokens have positions of their own. */
  readonly scattered?: true;
  readonly rotation?: {pairs: number; interleaved: boolean; positions: 'run' | 'rows' | 'column'};
}

const halves = {pairs: 16, interleaved: false, positions: 'rows'} as const;

/** Every encoding, lengths around the edges of tiles and splits, dims that fill no lane. */
export const cases: Record<string, Case> = {
  'dense, one query over many splits': {
    keys: dense,
    values: dense,
    group: 3,
    tokens: 1000,
    dim: 64,
    dimV: 64,
  },
  'dense, causal, wide dims, tiles that end early': {
    ...{keys: dense, values: dense, batch: 2, group: 2, queryTokens: 37, tokens: 70},
    ...{dim: 130, dimV: 100, firstQuery: 33},
  },
  'dense, causal, most rows see nothing': {
    ...{keys: dense, values: dense, queryTokens: 9, tokens: 40, dim: 3, dimV: 1, firstQuery: -6},
  },
  'int8 by channel, int8 by token': {
    ...{keys: integer(8, 'channel', 32), values: integer(8, 'token', 32), group: 3, tokens: 257},
  },
  'int4 with groups that fill no word': {
    ...{keys: integer(4, 'channel', 5), values: integer(4, 'token', 3), tokens: 65, dim: 33, dimV: 31},
  },
  'dense, biased, over splits': {
    ...{keys: dense, values: dense, group: 3, tokens: 600, dim: 64},
    biased: true,
  },
  'dense, capped, within a window over splits': {
    ...{keys: dense, values: dense, group: 3, tokens: 900, dim: 64},
    ...{softCap: 0.8, window: 700, biased: true},
  },
  'int4, causal, within a window that leaves tiles out': {
    ...{keys: integer(4, 'channel', 16), values: integer(4, 'token', 16), group: 2, queryTokens: 40},
    ...{tokens: 200, firstQuery: 150, window: 33, softCap: 5},
  },
  'dense, within a window over tokens with positions of their own': {
    ...{keys: dense, values: dense, group: 3, tokens: 90, biased: true},
    ...{window: 40, scattered: true},
  },
  'int2 by token, causal': {
    ...{keys: integer(2, 'token', 16), values: integer(2, 'channel', 8), queryTokens: 12, tokens: 64},
    firstQuery: 52,
  },
  'int6 by channel, int3 by token, dims that fill no word': {
    ...{
      keys: integer(6, 'channel', 16),
      values: integer(3, 'token', 16),
      group: 2,
      tokens: 70,
      dim: 44,
      dimV: 52,
    },
  },
  'float8 in both formats': {keys: float8('e4m3'), values: float8('e5m2'), group: 2, tokens: 129, dim: 30},
  'low rank in codes of few bits, heads side by side': {
    ...{keys: rank(16, fewBits(8, 3, 0)), values: rank(24, fewBits(5, 1, 6)), batch: 2, group: 3},
    ...{queryTokens: 20, tokens: 200, firstQuery: 190},
  },
  'dense keys, values in codes of few bits': {
    ...{keys: dense, values: rank(32, fewBits(4, 2)), kvHeads: 3, tokens: 40},
  },
  'low rank in codes of few bits, rebuilt': {
    ...{keys: {...rank(8, fewBits(8, 4)), rotate: true}, values: dense, tokens: 60, rotation: halves},
  },
  'low rank in the space of latents': {
    ...{keys: rank(8, integer(4, 'channel', 16)), values: rank(12, float8('e4m3')), group: 3, tokens: 200},
  },
  'low rank rebuilt and rotated at positions of each token': {
    ...{keys: {...rank(8), rotate: true}, values: dense, group: 3, tokens: 200, rotation: halves},
  },
  'low rank in integers, all buffers taken, causal': {
    ...{keys: {...rank(8, integer(8, 'token', 4)), rotate: true}, values: integer(8, 'token', 32)},
    ...{queryTokens: 20, tokens: 50, firstQuery: 30, group: 2, batch: 2},
    rotation: {pairs: 5, interleaved: true, positions: 'column'},
    biased: true,
  },
  'low rank of a run, without a mean': {
    ...{keys: {...rank(4, dense, false), rotate: true}, values: rank(4), tokens: 33, dim: 16},
    rotation: {pairs: 8, interleaved: false, positions: 'run'},
  },
};

export function inputsOf(one: Case) {
  const {batch = 1, kvHeads = 2, group = 1, queryTokens = 1, tokens, dim = 32, dimV = 32} = one;
  const shape = {batch, kvHeads, tokens, capacity: tokens + 3};
  const encoding = (storage: Storage, width: number, seed: number): Encoding =>
    'kind' in storage
      ? randomTokens({...shape, dim: width}, storage, seed)
      : {
          ...randomLowRank({...shape, dim: width}, storage, seed),
          ...(storage.rotate === true && {rotate: true}),
        };
  const heads = kvHeads * group;
  return {
    queries: tf.tensor4d(randomFloats(1, batch * heads * queryTokens * dim), [
      batch,
      heads,
      queryTokens,
      dim,
    ]),
    keys: encoding(one.keys, dim, 2),
    values: encoding(one.values, dimV, 7),
    options: {
      ...{tokens, scale: 1 / Math.sqrt(dim)},
      firstQuery: one.firstQuery,
      softCap: one.softCap,
      ...(one.window !== undefined && {window: windowOf(one, [batch, kvHeads], one.window)}),
      ...(one.biased && {
        bias: tf.tensor4d(randomFloats(5, batch * kvHeads * (tokens + 2), 2), [
          batch,
          kvHeads,
          tokens + 2,
          1,
        ]),
      }),
      ...(one.rotation && {keyRotation: randomRotation({...shape, dim}, one.rotation, 12)}),
    },
  };
}

/** A window; the positions of tokens are 5, 6, 7, ... or 3, 5, 7, ... */
function windowOf({tokens, firstQuery = tokens - 1, scattered}: Case, heads: [number, number], size: number) {
  if (scattered !== true) return {size, firstQuery: 5 + firstQuery, positions: 5};
  const positions = tf.tile(tf.reshape(tf.range(3, 3 + 2 * tokens, 2), [1, 1, tokens, 1]), [...heads, 1, 1]);
  return {size, firstQuery: 2 * tokens + 5, positions: positions as tf.Tensor4D};
}
