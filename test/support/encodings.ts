import * as tf from '@tensorflow/tfjs';
import fc from 'fast-check';
import type {KeyRotation} from '../../ops/attention/attend/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {encodeFloat8} from '../../ops/float8/index.js';
import {
  headsOf,
  tensorsOf,
  type Encoding,
  type LowRankEncoding,
  type TokenEncoding,
} from '../../ops/encodings/encoding.js';
import {allWidths} from '../../ops/encodings/lloyd_max_levels.js';
import type {Basis} from '../../ops/encodings/low_rank.js';
import {quantize} from '../../ops/integer/index.js';
import {quantizeLloydMax} from '../../ops/lloyd_max/index.js';
import {randomFloats, randomStream} from './random.js';

/** Every encoding that stores tokens one by one. */
export const tokenStorages = fc.oneof(
  fc.constant({kind: 'dense' as const}),
  fc.record({
    kind: fc.constant('integer' as const),
    bits: fc.constantFrom(8, 6, 5, 4, 3, 2),
    groupAxis: fc.constantFrom('channel' as const, 'token' as const),
    groupSize: fc.oneof(fc.integer({min: 1, max: 12}), fc.constantFrom(16, 32)),
    symmetric: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('float8' as const),
    format: fc.constantFrom('e4m3' as const, 'e5m2' as const),
  }),
);

export type TokenStorage = typeof tokenStorages extends fc.Arbitrary<infer Storage> ? Storage : never;

/** Codes of few bits; the widths of a head's groups are taken from this list in turn, each head from another place on. */
const lloydMaxStorages = fc.record({
  kind: fc.constant('lloydMax' as const),
  widths: fc.array(fc.constantFrom(...allWidths), {minLength: 1, maxLength: 8}),
});

type LloydMaxStorage = typeof lloydMaxStorages extends fc.Arbitrary<infer Storage> ? Storage : never;

/** Low rank with latents in any of these. */
export const lowRankStorages = fc.record(
  {
    rank: fc.oneof(fc.integer({min: 1, max: 20}), fc.constant(32)),
    mean: fc.boolean(),
    latents: fc.oneof({weight: 3, arbitrary: tokenStorages}, {weight: 1, arbitrary: lloydMaxStorages}),
    codedBasis: fc.boolean(),
  },
  {requiredKeys: ['rank', 'mean', 'latents']},
);

export type LowRankStorage = typeof lowRankStorages extends fc.Arbitrary<infer Storage> ? Storage : never;

/** Size of random tokens: `tokens` valid rows in a capacity of at least `capacity`. */
export interface TokenShape {
  readonly batch: number;
  readonly kvHeads: number;
  readonly tokens: number;
  readonly capacity: number;
  readonly dim: number;
}

/** Random tokens in an encoding. Rows after the valid ones hold numbers that change the result if they are read. */
export function randomTokens(
  shape: TokenShape,
  storage: TokenStorage | LloydMaxStorage,
  seed: number,
  spread = 1,
): TokenEncoding {
  const {batch, kvHeads, tokens, dim} = shape;
  const group = sharedTokens(storage); // whole groups only
  const capacity = Math.ceil(shape.capacity / group) * group;
  // less if spare tokens share their scales with valid ones: scores are rounded in units of these
  const spare = storage.kind === 'dense' ? NaN : group > 1 ? 20 : 1000;
  const numbers = randomFloats(seed, batch * kvHeads * capacity * dim, spread).map((value, i) =>
    Math.floor(i / dim) % capacity < tokens ? value : spare,
  );
  const x = tf.tensor4d(numbers, [batch, kvHeads, capacity, dim]);
  if (storage.kind === 'dense') return {kind: 'dense', dim, data: x};
  const encoding = encode(x, storage);
  x.dispose();
  return encoding;
}

/** How many tokens of a storage share a row. */
export function sharedTokens(storage: TokenStorage | LloydMaxStorage): number {
  if (storage.kind === 'lloydMax') return 16;
  return storage.kind === 'integer' && storage.groupAxis === 'channel' ? storage.groupSize : 1;
}

function encode(
  x: tf.Tensor4D,
  storage: Exclude<TokenStorage, {kind: 'dense'}> | LloydMaxStorage,
): TokenEncoding {
  const [, kvHeads, , dim] = x.shape;
  switch (storage.kind) {
    case 'float8':
      return encodeFloat8(x, storage);
    case 'integer':
      return quantize(x, {...storage, dim});
    case 'lloydMax': {
      const {widths} = storage;
      const ofHead = (head: number) =>
        Array.from({length: dim / 8}, (_, group) => widths[(head + group) % widths.length]!);
      return quantizeLloydMax(
        x,
        Array.from({length: kvHeads}, (_, head) => ofHead(head)),
      );
    }
  }
}

/**
 * Random tokens of low rank. The basis is scaled so that tokens are about as large as their latents. The rank of latents in whole
 * groups of channels is rounded up.
 */
export function randomLowRank(
  shape: TokenShape,
  storage: LowRankStorage,
  seed: number,
  spread = 1,
): Encoding & {readonly kind: 'lowRank'} {
  const {batch, kvHeads, dim} = shape;
  const {mean, latents, codedBasis = false} = storage;
  const rank = latents.kind === 'lloydMax' ? 8 * Math.ceil(storage.rank / 8) : storage.rank;
  const numbers = randomFloats(seed + 1, batch * kvHeads * rank * dim, 1 / Math.sqrt(rank));
  const basis = tf.tensor4d(numbers, [batch, kvHeads, rank, dim]);
  return {
    kind: 'lowRank',
    dim,
    rank,
    latents: randomTokens({...shape, dim: rank}, latents, seed, spread),
    basis: codedBasis ? codesOfBasis(basis) : basis,
    ...(mean && {
      mean: tf.tensor4d(randomFloats(seed + 2, batch * kvHeads * dim), [batch, kvHeads, 1, dim]),
    }),
  };
}

function codesOfBasis(basis: tf.Tensor4D): Basis {
  const dim = basis.shape[3];
  const codes = quantize(basis, {dim, bits: 8, groupAxis: 'token', groupSize: dim, symmetric: false});
  basis.dispose();
  return codes;
}

/** A rotation with random positions of each head, or a run; `asColumn` gives positions their trailing axis of 1. */
export function randomRotation(
  {batch, kvHeads, tokens, capacity, dim}: TokenShape,
  options: {pairs: number; interleaved: boolean; positions: 'run' | 'rows' | 'column'},
  seed: number,
): KeyRotation {
  const {interleaved, positions} = options;
  const pairs = Math.min(options.pairs, Math.floor(dim / 2));
  const table = capacity + 40;
  const next = randomStream(seed);
  const angles = Float32Array.from({length: table * pairs}, () => 6 * next());
  const common = {
    cos: tf.tensor2d(angles.map(Math.cos), [table, pairs]),
    sin: tf.tensor2d(angles.map(Math.sin), [table, pairs]),
    interleaved,
  };
  if (positions === 'run') return {...common, positions: Math.floor(next() * (table - tokens))};
  const rows = Int32Array.from({length: batch * kvHeads * capacity}, () => Math.floor(next() * table));
  const shape = positions === 'rows' ? [batch, kvHeads, capacity] : [batch, kvHeads, capacity, 1];
  return {...common, positions: tf.tensor(rows, shape, 'int32')};
}

/** The numbers of decoded keys, rotated by the definition: each token by the angles of its own position. */
function rotateOnHost(
  keys: Float32Array,
  {batch, kvHeads, tokens, capacity, dim}: TokenShape,
  rotation: KeyRotation,
): Float32Array {
  const {interleaved = false, positions} = rotation;
  const pairs = rotation.cos.shape[1];
  const [cos, sin] = [rotation.cos.dataSync(), rotation.sin.dataSync()];
  const rows = typeof positions === 'number' ? undefined : positions.dataSync();
  const out = keys.slice();
  for (let row = 0; row < batch * kvHeads * tokens; row++) {
    const [head, token] = [Math.floor(row / tokens), row % tokens];
    const position = rows === undefined ? (positions as number) + token : rows[head * capacity + token]!;
    for (let pair = 0; pair < pairs; pair++) {
      const [i, j] = interleaved ? [2 * pair, 2 * pair + 1] : [pair, pair + pairs];
      const [a, b] = [keys[row * dim + i]!, keys[row * dim + j]!];
      const [c, s] = [cos[position * pairs + pair]!, sin[position * pairs + pair]!];
      out[row * dim + i] = a * c - b * s;
      out[row * dim + j] = b * c + a * s;
    }
  }
  return out;
}

/** The same keys with a random mean that is rotated to the position of each token. */
export function withRotatedMean(keys: LowRankEncoding, seed: number): LowRankEncoding {
  const {batch, kvHeads} = headsOf(keys);
  const mean = randomFloats(seed, batch * kvHeads * keys.dim);
  return {...keys, rotatedMean: tf.tensor4d(mean, [batch, kvHeads, 1, keys.dim])};
}

/** Decoded keys as attention reads them: rotated, or with the rotated mean added to each. */
export function rotatedKeys(
  keys: Encoding,
  decoded: Float32Array,
  shape: TokenShape,
  rotation: KeyRotation,
): Float32Array {
  if (keys.kind !== 'lowRank' || keys.rotatedMean === undefined)
    return rotateOnHost(decoded, shape, rotation);
  const mean = keys.rotatedMean.dataSync();
  const {tokens, dim} = shape;
  const tiled = decoded.map((_, i) => mean[Math.floor(i / (tokens * dim)) * dim + (i % dim)]!);
  const rotated = rotateOnHost(tiled, shape, rotation);
  return decoded.map((number, i) => number + rotated[i]!);
}

/** One encoding of each kind, of 16 tokens of dim 16 in 2 x 3 heads. */
export function oneOfEach(): Record<string, Encoding> {
  const ones = (...shape: [number, number, number, number]): tf.Tensor4D => tf.ones(shape);
  const codes = (words: number) => tf.zeros<tf.Rank.R4>([2, 3, 16, words], 'int32');
  const latents = {
    kind: 'float8',
    dim: 4,
    format: 'e4m3',
    codes: codes(1),
    scales: ones(2, 3, 16, 1),
  } as const;
  const integer = {kind: 'integer', dim: 16, bits: 4, codes: codes(2)} as const;
  return {
    dense: {kind: 'dense', dim: 16, data: ones(2, 3, 16, 16)},
    perChannel: {...integer, groupAxis: 'channel', groupSize: 4, params: tf.zeros([2, 3, 4, 16], 'int32')},
    perToken: {...integer, groupAxis: 'token', groupSize: 8, params: tf.zeros([2, 3, 16, 2], 'int32')},
    float8: {kind: 'float8', dim: 16, format: 'e5m2', codes: codes(4), scales: ones(2, 3, 16, 1)},
    lloydMax: {
      kind: 'lloydMax',
      dim: 16,
      widths: [
        [8, 3],
        [2, 0],
        [1, 1],
      ],
      codes: tf.zeros([2, 1, 1, 60], 'int32'),
      scales: tf.zeros([2, 1, 1, 9], 'int32'),
    },
    lowRank: {kind: 'lowRank', dim: 16, rank: 4, latents, basis: ones(2, 3, 4, 16), mean: ones(2, 3, 1, 16)},
  };
}

/** The numbers of an encoding's valid tokens. */
export function numbersOfEncoding(encoding: Encoding, tokens: number): Float32Array {
  return tf.tidy(() => decodeEncoding(encoding, 0, tokens).dataSync<'float32'>().slice());
}

export function disposeEncoding(encoding: Encoding): void {
  for (const {tensor} of Object.values(tensorsOf(encoding))) tensor.dispose();
}
