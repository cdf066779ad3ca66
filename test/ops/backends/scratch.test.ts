import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {kernelsBinary} from '../../../ops/backends/kernel_builds.js';
import {attend} from '../../../ops/attention/attend/index.js';
import {attendSegments} from '../../../ops/attention/attend/segments.js';
import {causalAttention} from '../../../ops/attention/causal/index.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {attentionStatistics} from '../../../ops/attention/statistics/index.js';
import {batchedMatMul} from '../../../ops/batched_matmul/index.js';
import {decodeEncoding} from '../../../ops/encodings/decode.js';
import type {Encoding} from '../../../ops/encodings/encoding.js';
import {allWidths} from '../../../ops/encodings/lloyd_max_levels.js';
import {eigh, qr, svd} from '../../../ops/linalg/index.js';
import {embed} from '../../../ops/embed/index.js';
import {quantizeLloydMax} from '../../../ops/lloyd_max/index.js';
import {linear} from '../../../ops/linear/index.js';
import {coefficients} from '../../../ops/low_rank/coefficients.js';
import {unpack} from '../../../ops/unpack/index.js';
import {type PackedFormat, packedFormats} from '../../../ops/weights/formats.js';
import type {PackedMatrix} from '../../../ops/weights/matrix.js';
import {describeOnBackends} from '../../support/backends.js';
import {
  lowRankStorages,
  randomLowRank,
  randomRotation,
  randomTokens,
  tokenStorages,
} from '../../support/encodings.js';
import {packedMatrix} from '../../support/packed_matrix.js';
import {randomFloats} from '../../support/random.js';
import {withScratchGuards} from '../../support/scratch_guards.js';

const dims = fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(31, 32, 64, 96, 128));
const storages = fc.oneof(
  tokenStorages.map(tokens => ({tokens})),
  lowRankStorages.map(lowRank => ({lowRank})),
);
const cases = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  kvHeads: fc.integer({min: 1, max: 3}),
  group: fc.integer({min: 1, max: 5}),
  queryTokens: fc.oneof(fc.constant(1), fc.integer({min: 2, max: 9})), // on both sides of 16 rows
  tokens: fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(63, 64, 65, 127, 129)), // tiles have 64
  dim: dims.map(dim => Math.max(2, dim)), // at least a pair of channels to rotate
  dimV: dims,
  causal: fc.boolean(),
  softCap: fc.option(fc.constant(3), {nil: undefined}),
  window: fc.option(fc.integer({min: 1, max: 90}), {nil: undefined}),
  spread: fc.constantFrom(0.1, 1, 30), // in integers by rounded numbers, and by those that cannot be rounded
  keys: storages,
  values: storages,
  rotate: fc.boolean(),
  statistic: fc.constantFrom('mass' as const, 'uses' as const, 'lastUse' as const),
  seed: fc.integer(),
});
type Case = typeof cases extends fc.Arbitrary<infer One> ? One : never;

const formats = Object.keys(packedFormats) as PackedFormat[];
const sizes = fc.integer({min: 1, max: 70});
/** On both sides of the borders of panels and of blocks. */
const borders = fc.oneof(sizes, fc.constantFrom(127, 128, 129, 255, 256, 257));

/** For each kernel that takes scratch memory: a run of its op, and the cases that it runs over. */
const runs: Record<string, fc.IAsyncProperty<[Case]> | fc.IAsyncProperty<[number, number, number, number]>> =
  {
    attend: property(one => {
      const {queries, keys, values, options} = attentionOf(one);
      return [attend(queries, keys, values, options), attendSegments(queries, [{keys, values, ...options}])];
    }),
    attentionStatistics: property(one => {
      const {queries, keys, values, options} = attentionOf(one);
      const logSum = partialLogSum([attend(queries, keys, values, options)]);
      const {statistic} = one;
      return [attentionStatistics(queries, keys, logSum, {...options, statistic, threshold: 0.1})];
    }),
    causalGradient: property(({batch, kvHeads, group, tokens, dim, dimV, spread, seed, softCap, window}) => {
      const x = (heads: number, columns: number) =>
        random(seed + columns, [batch, heads, tokens, columns], spread);
      return tf.grads((q, k, v) =>
        tf.sum(
          causalAttention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, {
            ...{scale: 0.1, softCap, window, alibi: group === 1},
          }),
        ),
      )([x(kvHeads * group, dim), x(kvHeads, dim), x(kvHeads, dimV)]);
    }),
    decodeTokens: property(({batch, kvHeads, tokens, spread, seed}) => {
      const widths = Array.from({length: kvHeads}, (_, head) => [allWidths[(seed + head) & 7]!, 3 as const]);
      const rows = 16 * Math.ceil(tokens / 16);
      const encoding = quantizeLloydMax(random(seed, [batch, kvHeads, rows, 16], spread), widths);
      return [decodeEncoding(encoding, rows - tokens, tokens)];
    }),
    encodeLevels: property(({batch, kvHeads, tokens, spread, seed}) => {
      const widths = Array.from({length: kvHeads}, (_, head) => [5 as const, allWidths[(seed + head) & 7]!]);
      const {codes, scales} = quantizeLloydMax(
        random(seed, [batch, kvHeads, 16 * tokens, 16], spread),
        widths,
      );
      return [tf.cast(codes, 'float32'), tf.cast(scales, 'float32')];
    }),
    eigh: fc.asyncProperty(sizes, sizes, fc.integer({min: 1, max: 2}), fc.integer(), (dim, _, count, seed) =>
      expectFinite(() =>
        Object.values(eigh(tf.reshape(random(seed, [count, 1, dim, dim]), [count, dim, dim]))),
      ),
    ),
    svd: fc.asyncProperty(
      sizes,
      sizes,
      fc.integer({min: 1, max: 2}),
      fc.integer(),
      (rows, columns, count, seed) =>
        expectFinite(() => Object.values(svd(random(seed, [1, count, rows, columns])))),
    ),
    qr: fc.asyncProperty(
      sizes,
      sizes,
      fc.integer({min: 1, max: 2}),
      fc.integer(),
      (rows, columns, count, seed) =>
        expectFinite(() => Object.values(qr(random(seed, [1, count, rows, columns])))),
    ),
    solveRows: fc.asyncProperty(
      borders,
      sizes,
      fc.integer({min: 1, max: 2}),
      fc.integer(),
      (tokens, size, heads, seed) =>
        expectFinite(() => {
          const dim = 4 * Math.ceil(size / 8);
          return [
            coefficients(random(seed, [1, heads, tokens, dim]), random(seed + 1, [1, heads, dim, dim])),
          ];
        }),
    ),
    linear: fc.asyncProperty(borders, borders, borders, fc.integer(), (rows, inputs, outputs, seed) =>
      expectFinite(() => {
        const [x, w] = [random(seed, [1, 1, rows, inputs]), random(seed + 1, [1, 1, inputs, outputs])];
        return [linear(x, tf.reshape(w, [inputs, outputs]))];
      }),
    ),
    batchedMatMul: fc.asyncProperty(borders, borders, borders, fc.integer(), (m, k, n, seed) =>
      expectFinite(() => [
        batchedMatMul(random(seed, [1, 2, m, k]), random(seed + 1, [1, 2, k, n])),
        batchedMatMul(random(seed, [1, 2, k, m]), random(seed + 1, [1, 2, n, k]), {
          transposeA: true,
          transposeB: true,
        }),
      ]),
    ),
    roundRows: packed(({x, matrix}) => linear(x, matrix)),
    packedProduct: packed(({x, matrix}) => linear(x, matrix, {activations: 'int8'})),
    unpackRecords: packed(({ids, matrix}) =>
      tf.concat([tf.reshape(embed(ids, matrix), [-1]), tf.reshape(unpack(matrix), [-1])]),
    ),
  };

describeOnBackends(
  'scratch memory',
  () => {
    for (const [name, run] of Object.entries(runs)) {
      it(`of ${name} is all that the kernel writes beside its result`, () =>
        fc.assert<unknown>(run, {numRuns: 150}));
    }

    it('of every kernel is guarded here', () => {
      const exports = WebAssembly.Module.exports(new WebAssembly.Module(kernelsBinary()));
      const stated = exports.map(({name}) => name).filter(name => name.endsWith('Scratch'));
      expect(stated.sort()).to.deep.equal(
        Object.keys(runs)
          .map(name => `${name}Scratch`)
          .sort(),
      );
    });
  },
  ['wasm'],
);

/** Over matrices of any format, with one of the few rows that kernels take at once, and more. */
function packed(run: (one: {x: tf.Tensor2D; ids: tf.Tensor2D; matrix: PackedMatrix}) => tf.Tensor) {
  return fc.asyncProperty(
    fc.integer({min: 1, max: 20}),
    sizes,
    sizes,
    fc.integer(),
    (rows, inputs, outputs, seed) =>
      expectFinite(() => {
        const format = formats[Math.abs(seed) % formats.length]!;
        const {matrix} = packedMatrix(format, inputs, outputs, seed);
        const x = tf.tensor2d(randomFloats(seed + 1, rows * inputs), [rows, inputs]);
        return [run({x, ids: tf.fill([1, rows], outputs - 1, 'int32'), matrix})];
      }),
  );
}

function property(run: (one: Case) => tf.Tensor[]): fc.IAsyncProperty<[Case]> {
  return fc.asyncProperty(cases, one => expectFinite(() => run(one)));
}

/** Runs ops between guards; results hold nothing of the NaN that scratch memory begins as. */
async function expectFinite(run: () => tf.Tensor[]): Promise<void> {
  const results = tf.tidy(() => withScratchGuards(run));
  for (const result of results) {
    // -Infinity is the largest score of a query that sees no token
    expect((await result.data<'float32'>()).some(Number.isNaN), 'NaN').to.be.false;
    result.dispose();
  }
}

function attentionOf(one: Case) {
  const {batch, kvHeads, group, queryTokens, tokens, dim, dimV, causal, spread, seed} = one;
  const {softCap, window: size} = one;
  const shape = {batch, kvHeads, tokens, capacity: tokens};
  const side = (how: Case['keys'], columns: number, salt: number): Encoding =>
    'tokens' in how
      ? randomTokens({...shape, dim: columns}, how.tokens, seed + salt, spread)
      : randomLowRank({...shape, dim: columns}, how.lowRank, seed + salt, spread);
  const keys = side(one.keys, dim, 1);
  const rotation = {pairs: 4, interleaved: causal, positions: 'rows'} as const;
  return {
    queries: random(seed, [batch, kvHeads * group, queryTokens, dim], spread),
    keys: keys.kind === 'lowRank' ? {...keys, rotate: one.rotate} : keys,
    values: side(one.values, dimV, 2),
    options: {
      ...{tokens, scale: 1 / Math.sqrt(dim), firstQuery: causal ? tokens - queryTokens : undefined},
      softCap,
      ...(size !== undefined && {window: {size, firstQuery: tokens - queryTokens, positions: 0}}),
      keyRotation: randomRotation({...shape, dim}, rotation, seed),
    },
  };
}

function random(seed: number, shape: [number, number, number, number], spread = 1): tf.Tensor4D {
  return tf.tensor4d(
    randomFloats(
      seed,
      shape.reduce((a, b) => a * b),
      spread,
    ),
    shape,
  );
}
