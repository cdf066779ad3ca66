import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {attend} from '../../../ops/attention/attend/index.js';
import {decodeEncoding} from '../../../ops/encodings/decode.js';
import type {IntegerEncoding} from '../../../ops/encodings/encoding.js';
import {quantize} from '../../../ops/integer/index.js';
import {
  denseEncoding,
  disposeEncoding,
  optionsOf,
  problemOf,
  scoringCases,
  tensorsOfProblem,
} from '../../support/attention_cases.js';
import {attentionOracle} from '../../support/attention_oracle.js';
import {describeOnBackends} from '../../support/backends.js';
import {expectClose} from '../../support/tensors.js';

// Integer encodings in the layouts that the wasm kernel attends in integers: keys in groups of 16 tokens or more, up to 16 rows of
// queries. Other layouts are a matter of attend's own test.

const cases = fc.record({
  batch: fc.constant(1),
  kvHeads: fc.integer({min: 1, max: 2}),
  group: fc.integer({min: 1, max: 9}), // blocks of one to four rows
  queryTokens: fc.constantFrom(1, 1, 1, 2, 3),
  tokens: fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(63, 64, 65, 97, 128, 129, 700)),
  spare: fc.integer({min: 0, max: 70}),
  dim: fc.constantFrom(16, 32, 48, 64, 80, 96, 128),
  dimV: fc.constantFrom(8, 16, 32, 48, 64, 80, 96, 128),
  causalOffset: fc.option(fc.integer({min: -70, max: 3}), {nil: undefined}),
  ...scoringCases,
  spread: fc.constantFrom(0.1, 1, 4),
  seed: fc.integer(),
  bits: fc.constantFrom(8 as const, 4 as const, 2 as const),
  bitsV: fc.constantFrom(8 as const, 4 as const, 2 as const),
  keyGroup: fc.constantFrom(16, 32, 64, 128),
  valueGroup: fc.constantFrom(8, 32, 64),
  symmetric: fc.boolean(),
  /** What the tokens are multiplied by: the sizes that rounding to 16 bits cannot hold take a way of their own. */
  size: fc.constantFrom(1, 1, 1, 1e-30, 1e15),
  /** How many keys are ten times as large, so that few tokens carry the attention. */
  peaks: fc.integer({min: 0, max: 3}),
});

type Drawn = typeof cases extends fc.Arbitrary<infer One> ? One : never;
type Case = Omit<Drawn, 'softCap' | 'window'> & Partial<Pick<Drawn, 'softCap' | 'window'>>;

describeOnBackends(
  'attend in integers',
  () => {
    it('is attention by its definition over what the codes stand for', () =>
      fc.assert(fc.asyncProperty(cases, expectAnswer), {numRuns: 150}));

    it('is that over long texts, most of whose scores use 16 bits of the queries', async () => {
      for (const spread of [0.1, 1, 4] as const) {
        for (const bits of [8, 4] as const) {
          await expectAnswer({
            ...{batch: 1, kvHeads: 1, group: 3, queryTokens: 1, tokens: 4100, spare: 0, dim: 64, dimV: 64},
            ...{causalOffset: undefined, spread, seed: bits, bits, bitsV: bits, keyGroup: 64, valueGroup: 64},
            ...{symmetric: false, size: 1, peaks: 0},
          });
        }
      }
    });

    it('holds the largest sums of products, of any dim', async () => {
      for (const dim of [256, 512, 1024]) {
        // equal queries round to the largest integer, and all but one key to the largest code
        const keys = tf.tidy(() =>
          tf.ones<tf.Rank.R4>([1, 1, 64, dim]).sub(tf.oneHot([7], 64).reshape([1, 1, 64, 1])),
        );
        const encoding = quantize(keys as tf.Tensor4D, {
          ...{dim, bits: 8, groupAxis: 'channel', groupSize: 64, symmetric: false},
        });
        const values = tf.ones<tf.Rank.R4>([1, 1, 64, 1]);
        const queries = tf.fill<tf.Rank.R4>([1, 1, 1, dim], 0.01);
        const partial = attend(queries, encoding, denseEncoding(values), {tokens: 64, scale: 1});
        const [, largest, sum] = await partial.data();
        expect(largest, `largest score at dim ${dim}`).to.be.closeTo(0.01 * dim, 1e-5 * dim);
        expect(sum, `sum at dim ${dim}`).to.be.closeTo(63 + Math.exp(-0.01 * dim), 1e-3);
        tf.dispose([keys, values, queries, partial]);
        disposeEncoding(encoding);
      }
    });

    it('passes a NaN of a query on', async () => {
      const x = tf.randomUniform<tf.Rank.R4>([1, 1, 64, 32], -1, 1, 'float32', 1);
      const layout = {dim: 32, bits: 8, groupSize: 32, symmetric: false} as const;
      const keys = quantize(x, {...layout, groupAxis: 'channel'});
      const values = quantize(x, {...layout, groupAxis: 'token'});
      const queries = tf.fill<tf.Rank.R4>([1, 1, 1, 32], NaN);
      const partial = attend(queries, keys, values, {tokens: 64, scale: 1});
      const numbers = await partial.data();
      expect([...numbers.slice(0, 32)].every(Number.isNaN), 'all NaN').to.be.true;
      tf.dispose([x, queries, partial]);
      disposeEncoding(keys);
      disposeEncoding(values);
    });
  },
  ['wasm'],
);

async function expectAnswer(one: Case): Promise<void> {
  const {bits, bitsV, keyGroup, valueGroup, symmetric, size, peaks} = one;
  const problem = problemOf(one);
  const tensors = tensorsOfProblem({
    ...problem,
    keys: Float32Array.from(problem.keys, (x, i) =>
      Math.floor(i / problem.dim) % 97 < peaks ? 10 * x * size : x * size,
    ),
    values: Float32Array.from(problem.values, x => x * size),
    queries: Float32Array.from(problem.queries, x => x / size),
  });
  const keys = encode(tensors.keys, problem.tokens, keyGroup, x =>
    quantize(x, {dim: problem.dim, bits, groupAxis: 'channel', groupSize: keyGroup, symmetric}),
  );
  const values = encode(tensors.values, problem.tokens, 1, x =>
    quantize(x, {
      ...{dim: problem.dimV, bits: bitsV, groupAxis: 'token', groupSize: valueGroup, symmetric},
    }),
  );
  const expected = attentionOracle({
    ...problem,
    capacity: problem.tokens,
    queries: await tensors.queries.data(),
    keys: await keys.decoded.data(),
    values: await values.decoded.data(),
  });
  const options = optionsOf(problem);
  const partial = attend(tensors.queries, keys.encoding, values.encoding, options);
  const numbers = await partial.data();
  const columns = problem.dimV + 2;
  const column = (c: number) => numbers.filter((_, i) => i % columns === c);
  const sums = column(problem.dimV + 1);
  const output = numbers
    .filter((_, i) => i % columns < problem.dimV)
    .map((value, i) => value / (sums[Math.floor(i / problem.dimV)]! || 1) / size);
  // as for other encodings: rounding of a score, a sum of products of size spread^2; ten times that of a large key
  const tolerance = 1e-5 * Math.max(1, one.spread ** 2) * (peaks > 0 ? 10 : 1);
  await expectClose(column(problem.dimV), expected.max, tolerance, 'max');
  await expectClose(sums, expected.sum, tolerance, 'sum');
  await expectClose(
    output,
    expected.output.map(x => x / size),
    tolerance,
    'output',
  );
  tf.dispose([tensors, keys.decoded, values.decoded, partial, options.bias ?? []] as tf.TensorContainer);
  disposeEncoding(keys.encoding);
  disposeEncoding(values.encoding);
}

/** The valid tokens encoded, zeros up to whole groups, and what they decode to. */
function encode(
  x: tf.Tensor4D,
  tokens: number,
  multiple: number,
  quantized: (x: tf.Tensor4D) => IntegerEncoding,
): {encoding: IntegerEncoding; decoded: tf.Tensor4D} {
  const [batch, kvHeads, , dim] = x.shape;
  const rows = Math.ceil(tokens / multiple) * multiple;
  const whole = tf.tidy(() =>
    tf.concat<tf.Tensor4D>(
      [tf.slice(x, [0, 0, 0, 0], [-1, -1, tokens, -1]), tf.zeros([batch, kvHeads, rows - tokens, dim])],
      2,
    ),
  );
  const encoding = quantized(whole);
  whole.dispose();
  return {encoding, decoded: decodeEncoding(encoding, 0, tokens)};
}
