import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {attend, type KeyRotation} from '../../../ops/attention/attend/index.js';
import {attendSegments, type AttendedSegment} from '../../../ops/attention/attend/segments.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {attentionStatistics} from '../../../ops/attention/statistics/index.js';
import {decodeEncoding} from '../../../ops/encodings/decode.js';
import type {Encoding, LloydMaxEncoding} from '../../../ops/encodings/encoding.js';
import {allWidths, type Width} from '../../../ops/encodings/lloyd_max_levels.js';
import {rotationFor} from '../../../ops/rotate/rope.js';
import {quantizeLloydMax} from '../../../ops/lloyd_max/index.js';
import {denseEncoding, optionsOf, problemOf, scoringCases} from '../../support/attention_cases.js';
import {attentionOracle} from '../../support/attention_oracle.js';
import {describeOnBackends} from '../../support/backends.js';
import {
  disposeEncoding,
  randomRotation,
  randomTokens,
  rotatedKeys,
  tokenStorages,
  withRotatedMean,
  type TokenShape,
} from '../../support/encodings.js';
import {randomFloats, randomStream} from '../../support/random.js';
import {withReference} from '../../support/reference.js';
import {withScratchGuards} from '../../support/scratch_guards.js';
import {expectClose} from '../../support/tensors.js';

// Attention over codes of the kind lloydMax by the wasm kernels, against the definition over what they decode to.

const dims = fc.constantFrom(8, 16, 24, 32, 64, 64, 72, 128);

const cases = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  kvHeads: fc.integer({min: 1, max: 3}),
  group: fc.integer({min: 1, max: 9}),
  queryTokens: fc.constantFrom(1, 1, 1, 2, 3, 9),
  tokens: fc.oneof(fc.integer({min: 0, max: 40}), fc.constantFrom(63, 64, 65, 127, 128, 129, 257, 700)),
  spare: fc.integer({min: 0, max: 40}),
  dim: dims,
  dimV: dims,
  causalOffset: fc.option(fc.integer({min: -70, max: 3}), {nil: undefined}),
  ...scoringCases,
  spread: fc.constantFrom(0.1, 1, 4),
  seed: fc.integer(),
  /** The bits of all groups; mixed: any. */
  widths: fc.constantFrom<Width | 'mixed'>(...allWidths, 'mixed', 'mixed', 'mixed', 'mixed', 'mixed'),
  /** How many of 97 keys are ten times as large, so that few tokens carry the attention. */
  peaks: fc.constantFrom(0, 0, 1, 3),
});

const rotations = fc.record({
  theta: fc.constantFrom(10, 1e4, 1e6),
  stretched: fc.boolean(),
  interleaved: fc.boolean(),
  /** Part of the channels that rotate: 1 / 2^n. */
  part: fc.constantFrom(0, 0, 1),
  positions: fc.constantFrom('run', 'rows', 'gaps'),
});

type Drawn = typeof cases extends fc.Arbitrary<infer One> ? One : never;
type Case = Omit<Drawn, 'softCap' | 'window'> & Partial<Pick<Drawn, 'softCap' | 'window'>>;

describeOnBackends(
  'attend over Lloyd-Max codes',
  () => {
    it('is attention by its definition over what the codes stand for', () =>
      fc.assert(
        fc.asyncProperty(cases, async one => {
          const {keys, values} = sidesOf(one);
          await expectAnswer(one, codesOf(keys, one, 1), codesOf(values, one, 2));
        }),
        {numRuns: 120},
      ));

    it('is that beside any other encoding', () =>
      fc.assert(
        fc.asyncProperty(cases, tokenStorages, fc.boolean(), async (one, storage, codedKeys) => {
          const {keys, values} = sidesOf(one);
          if (codedKeys)
            await expectAnswer(one, codesOf(keys, one, 1), randomTokens(values, storage, one.seed));
          else await expectAnswer(one, randomTokens(keys, storage, one.seed), codesOf(values, one, 2));
        }),
        {numRuns: 60},
      ));

    it('is that if they are latents of another dim', () =>
      fc.assert(
        fc.asyncProperty(cases, dims, dims, async (one, rank, rankV) => {
          const {keys, values} = sidesOf(one);
          await expectAnswer(
            one,
            lowRankOf(keys, codesOf({...keys, dim: rank}, one, 1), one.seed),
            lowRankOf(values, codesOf({...values, dim: rankV}, one, 2), one.seed + 1),
          );
        }),
        {numRuns: 40},
      ));

    it('rebuilds and rotates keys from such latents', () =>
      fc.assert(
        fc.asyncProperty(cases, dims, async (one, rank) => {
          const {keys, values} = sidesOf(one);
          const latents = codesOf({...keys, dim: rank}, one, 1);
          const rotation = {pairs: 4, interleaved: false, positions: 'rows'} as const;
          await expectAnswer(
            one,
            {...lowRankOf(keys, latents, one.seed), rotate: true},
            codesOf(values, one, 2),
            randomRotation(keys, rotation, one.seed),
          );
        }),
        {numRuns: 40},
      ));

    it('adds a mean that is rotated to the positions of tokens, of runs and others', () =>
      fc.assert(
        fc.asyncProperty(cases, rotations, async (one, rotation) => {
          const {keys, values} = sidesOf(one);
          await expectAnswer(
            one,
            withRotatedMean(lowRankOf(keys, codesOf(keys, one, 1), one.seed), one.seed + 6),
            codesOf(values, one, 2),
            ropeOf(keys, rotation, one.seed),
          );
        }),
        {numRuns: 60},
      ));

    it('gives what each token received', () =>
      fc.assert(
        fc.asyncProperty(cases, async one => {
          const spread = one.spread === 4 ? 1 : one.spread; // large scores have large errors, and the masses are exponentials
          const problem = problemOf({...one, spread, tokens: Math.max(1, one.tokens)});
          const {heads, queryTokens, dim} = problem;
          const keys = codesOf(sidesOf({...one, tokens: problem.tokens}).keys, {...one, spread}, 1);
          const queries = tf.tensor4d(Float32Array.from(problem.queries), [
            one.batch,
            heads,
            queryTokens,
            dim,
          ]);
          const logSum = tf.fill<tf.Rank.R4>([one.batch, heads, queryTokens, 1], 3);
          const options = {...optionsOf(problem), statistic: 'mass'} as const;
          const run = () => attentionStatistics(queries, keys, logSum, options);
          const [received, expected] = [withScratchGuards(run), withReference('AttentionStatistics', run)];
          await expectClose(received, expected, 1e-4);
          tf.dispose([queries, logSum, received, expected, options.bias ?? []]);
          disposeEncoding(keys);
        }),
        {numRuns: 40},
      ));

    it('takes queries whose scores cannot be rounded', async () => {
      const shape = {batch: 1, kvHeads: 1, tokens: 70, capacity: 70, dim: 16};
      const one = {seed: 3, spread: 1, peaks: 0, widths: 'mixed'} as const;
      const keys = codesOf(shape, one, 1);
      const values = codesOf(shape, one, 2);
      const numbers = await Promise.all(
        [1e-36, 1e32, NaN].map(async size => {
          const queries = tf.tensor4d(
            randomFloats(5, 16).map(x => x * size),
            [1, 1, 1, 16],
          );
          const partial = withScratchGuards(() => attend(queries, keys, values, {tokens: 70, scale: 1}));
          const row = await partial.data();
          tf.dispose([queries, partial]);
          return row.slice(0, 16).map(x => x / row[17]!);
        }),
      );
      const [all, keyNumbers] = tf.tidy(() => [decodeEncoding(values, 0, 70), decodeEncoding(keys, 0, 70)]);
      const mean = tf.tidy(() => tf.mean(all, 2));
      await expectClose(numbers[0]!, await mean.data(), 1e-5, 'mean of all values');
      const query = randomFloats(5, 16);
      const decoded = await keyNumbers.data();
      const scores = Array.from({length: 70}, (_, token) =>
        query.reduce((sum, x, i) => sum + x * decoded[token * 16 + i]!, 0),
      );
      const best = scores.indexOf(Math.max(...scores));
      const chosen = (await all.data()).slice(best * 16, best * 16 + 16);
      await expectClose(numbers[1]!, chosen, 1e-6, 'value of the largest score');
      expect(numbers[2]!.every(Number.isNaN), 'NaN').to.be.true;
      tf.dispose([all, keyNumbers, mean]);
      disposeEncoding(keys);
      disposeEncoding(values);
    });

    it('is that over long texts, most of whose scores are sums of rounded terms', async () => {
      for (const [bits, spread] of [
        [2, 1],
        ['mixed', 1],
        [4, 0.1],
      ] as const) {
        const one: Case = {
          ...{batch: 1, kvHeads: 1, group: 3, queryTokens: 1, tokens: 4100, spare: 0, dim: 64, dimV: 64},
          ...{causalOffset: undefined, spread, seed: 7, widths: bits, peaks: 0},
        };
        const {keys, values} = sidesOf(one);
        await expectAnswer(one, codesOf(keys, one, 1), codesOf(values, one, 2));
      }
    });

    it('decodes any run of tokens', () =>
      fc.assert(
        fc.asyncProperty(cases, fc.nat(90), fc.nat(90), async (one, first, count) => {
          const {keys} = sidesOf(one);
          const codes = codesOf(keys, one, 1);
          const from = Math.min(first, one.tokens);
          const run = () => decodeEncoding(codes, from, Math.min(count, one.tokens - from));
          const [decoded, expected] = [withScratchGuards(run), withReference('DecodeTokens', run)];
          await expectClose(decoded, expected, 0);
          tf.dispose([decoded, expected]);
          disposeEncoding(codes);
        }),
        {numRuns: 60},
      ));
  },
  ['wasm'],
);

function sidesOf({batch, kvHeads, tokens, spare, dim, dimV}: Case): {keys: TokenShape; values: TokenShape} {
  const shape = {batch, kvHeads, tokens, capacity: tokens + spare};
  return {keys: {...shape, dim}, values: {...shape, dim: dimV}};
}

/** Codes of random tokens in tiles that are as many as the capacity needs; the spare ones hold large numbers. */
function codesOf(
  {batch, kvHeads, tokens, capacity, dim}: TokenShape,
  one: Pick<Case, 'seed' | 'spread' | 'peaks' | 'widths'>,
  side: number,
): LloydMaxEncoding {
  const rows = Math.max(16, Math.ceil(capacity / 16) * 16);
  const next = randomStream(one.seed + side);
  const widths = Array.from({length: kvHeads}, () =>
    Array.from({length: dim / 8}, () =>
      one.widths === 'mixed' ? allWidths[Math.floor(next() * allWidths.length)]! : one.widths,
    ),
  );
  const spread = side === 1 ? one.spread : 1;
  const numbers = randomFloats(one.seed + 5 * side, batch * kvHeads * rows * dim, spread).map((x, i) => {
    const token = Math.floor(i / dim) % rows;
    if (token >= tokens) return 100 * x;
    return side === 1 && token % 97 < one.peaks ? 10 * x : x;
  });
  const z = tf.tensor4d(numbers, [batch, kvHeads, rows, dim]);
  const encoding = quantizeLloydMax(z, widths);
  z.dispose();
  return encoding;
}

/** A model's rotation. Rows are tokens without gaps, or with one after every 100. */
function ropeOf(
  {batch, kvHeads, tokens, capacity, dim}: TokenShape,
  {
    theta,
    stretched,
    interleaved,
    part,
    positions,
  }: typeof rotations extends fc.Arbitrary<infer R> ? R : never,
  seed: number,
): KeyRotation {
  const first = Math.abs(seed) % 3000;
  const scaling = {type: 'yarn', factor: 4, originalMaxPositions: 1000} as const;
  const config = {theta, interleaved, rotaryDim: dim >> part, ...(stretched && {scaling})};
  const tables = rotationFor(config, dim, 0, first + 2 * capacity + 40);
  if (positions === 'run') return {...tables, positions: first};
  const gap = positions === 'gaps' ? 7 : 0;
  const rows = Int32Array.from({length: batch * kvHeads * capacity}, (_, i) => {
    const [head, token] = [Math.floor(i / capacity), i % capacity];
    return token < tokens ? first + head + token + gap * Math.floor(token / 100) : -1;
  });
  return {...tables, positions: tf.tensor(rows, [batch, kvHeads, capacity], 'int32')};
}

/** Tokens with these latents, about as large as they are. */
function lowRankOf({batch, kvHeads, dim}: TokenShape, latents: LloydMaxEncoding, seed: number) {
  const rank = latents.dim;
  const basis = randomFloats(seed + 3, batch * kvHeads * rank * dim, rank ** -0.5);
  const mean = randomFloats(seed + 4, batch * kvHeads * dim);
  return {
    ...{kind: 'lowRank' as const, dim, rank, latents},
    basis: tf.tensor4d(basis, [batch, kvHeads, rank, dim]),
    mean: tf.tensor4d(mean, [batch, kvHeads, 1, dim]),
  };
}

/** Attention over a coded segment and a dense one, which carries a small part of the whole or nearly all, is both merged. */
async function expectBesideExact(
  one: Case,
  coded: AttendedSegment,
  queries: tf.Tensor4D,
  {largest, tolerance}: {readonly largest: number; readonly tolerance: number},
): Promise<void> {
  const {batch, kvHeads, dim, dimV, seed} = one;
  const size = [0.1, 1, 10][Math.abs(seed) % 3]!;
  const numbers = (of: number, scale: number) =>
    tf.tensor4d(randomFloats(seed + of, batch * kvHeads * 5 * of, scale), [batch, kvHeads, 5, of]);
  const [keys, values] = [
    denseEncoding(numbers(dim, size * one.spread)),
    denseEncoding(numbers(dimV, largest)),
  ];
  const exact = {keys, values, tokens: 5, scale: coded.scale};
  const joined = withScratchGuards(() => attendSegments(queries, [coded, exact]));
  const expected = withReference('Attend', () =>
    tf.tidy(() => mergePartials([coded, exact].map(of => attend(queries, of.keys, of.values, of)))),
  );
  await expectClose(joined, expected, tolerance * largest, 'beside exact tokens');
  tf.dispose([joined, expected]);
  disposeEncoding(keys);
  disposeEncoding(values);
}

/** Disposes of the encodings. */
async function expectAnswer(
  one: Case,
  keys: Encoding,
  values: Encoding,
  keyRotation?: KeyRotation,
): Promise<void> {
  const problem = problemOf(one);
  const {batch, heads, queryTokens, dim, dimV, tokens} = problem;
  const numbersOf = async (encoding: Encoding) => {
    const decoded = withReference('DecodeTokens', () => decodeEncoding(encoding, 0, tokens));
    const numbers = await decoded.data<'float32'>();
    decoded.dispose();
    return numbers;
  };
  const [decodedKeys, decodedValues] = [await numbersOf(keys), await numbersOf(values)];
  const expected = attentionOracle({
    ...problem,
    capacity: tokens,
    keys:
      keyRotation === undefined
        ? decodedKeys
        : rotatedKeys(keys, decodedKeys, sidesOf(one).keys, keyRotation),
    values: decodedValues,
  });
  const queries = tf.tensor4d(Float32Array.from(problem.queries), [batch, heads, queryTokens, dim]);
  const options = {...optionsOf(problem), keyRotation};
  const partial = withScratchGuards(() => attend(queries, keys, values, options));
  const numbers = await partial.data();
  const columns = dimV + 2;
  const column = (c: number) => numbers.filter((_, i) => i % columns === c);
  const sums = column(dimV + 1);
  const output = numbers
    .filter((_, i) => i % columns < dimV)
    .map((value, i) => value / (sums[Math.floor(i / dimV)]! || 1));
  // rounding of a score, a sum of products of size spread^2; ten times that of a large key
  const tolerance = 2e-5 * Math.max(1, one.spread ** 2) * (one.peaks > 0 ? 10 : 1);
  await expectClose(column(dimV), expected.max, tolerance, 'max');
  // look-ups are rounded to 14 bits: of few channels the errors of the weights have a mean, which outputs do not show
  await expectClose(sums, expected.sum, 3 * tolerance, 'sum');
  const largest = decodedValues.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
  await expectClose(
    output.map(x => x / largest),
    expected.output.map(x => x / largest),
    tolerance,
    'output',
  );
  await expectBesideExact(one, {keys, values, ...options}, queries, {largest, tolerance});
  tf.dispose([queries, partial, options.bias ?? []]);
  if (keyRotation !== undefined) tf.dispose([keyRotation.cos, keyRotation.sin, keyRotation.positions]);
  disposeEncoding(keys);
  disposeEncoding(values);
}
