import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {attend, type KeyRotation} from '../../../ops/attention/attend/index.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import type {Encoding, LowRankEncoding} from '../../../ops/encodings/encoding.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {hasKernel} from '../../../ops/run_op.js';
import {attentionCases, optionsOf, problemOf, type AttentionCase} from '../../support/attention_cases.js';
import {attentionOracle} from '../../support/attention_oracle.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {
  disposeEncoding,
  lowRankStorages,
  numbersOfEncoding,
  randomLowRank,
  randomRotation,
  randomTokens,
  rotatedKeys,
  tokenStorages,
  withRotatedMean,
} from '../../support/encodings.js';
import {withReference} from '../../support/reference.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

// Attention over encodings other than dense and integer ones, against the definition over what they decode to.

/** Many heads are a matter of attend's own test. */
const cases = attentionCases.map(one => ({...one, kvHeads: Math.min(one.kvHeads, 3)}));

const ops = ['Attend', 'AttendRotatedMean', 'MeanAngles', 'Project', 'ExpandPartial', 'DecodeTokens'];

describeOnBackends(
  'attend in the encodings',
  backend => {
    const numRuns = backend === 'wasm' ? 30 : 6; // elsewhere the reference runs, tens of times slower

    it('is attention by its definition over float8, integer and dense sides in any mixture', () =>
      fc.assert(
        fc.asyncProperty(cases, tokenStorages, tokenStorages, async (attentionCase, key, value) => {
          const {keyShape, valueShape, seed, spread} = shapesOf(attentionCase);
          await expectAnswer(
            attentionCase,
            randomTokens(keyShape, key, seed, spread),
            randomTokens(valueShape, value, seed + 7),
          );
        }),
        {numRuns},
      ));

    it('attends low-rank keys and values in the space of their latents', () =>
      fc.assert(
        fc.asyncProperty(
          attentionCases,
          lowRankStorages,
          lowRankStorages,
          sides,
          async (one, key, value, which) => {
            const {keyShape, valueShape, seed, spread} = shapesOf(one);
            const dense = {kind: 'dense'} as const;
            const keys =
              which === 'values'
                ? randomTokens(keyShape, dense, seed, spread)
                : randomLowRank(keyShape, key, seed, spread);
            const values =
              which === 'keys'
                ? randomTokens(valueShape, dense, seed + 7)
                : randomLowRank(valueShape, value, seed + 7);
            await expectAnswer(one, keys, values);
          },
        ),
        {numRuns},
      ));

    it('rebuilds keys stored before their rotation and rotates each at its own position', () =>
      fc.assert(
        fc.asyncProperty(cases, lowRankStorages, rotations, async (anyCase, key, rotation) => {
          const attentionCase = {...anyCase, dim: Math.max(2, anyCase.dim)}; // a pair of channels at least
          const {keyShape, valueShape, seed, spread} = shapesOf(attentionCase);
          const keys = {...randomLowRank(keyShape, key, seed, spread), rotate: true};
          const keyRotation = randomRotation(keyShape, rotation, seed + 9);
          await expectAnswer(
            attentionCase,
            keys,
            randomTokens(valueShape, {kind: 'dense'}, seed + 7),
            keyRotation,
          );
        }),
        {numRuns},
      ));

    it('adds a mean that is rotated to the position of each token', () =>
      fc.assert(
        fc.asyncProperty(cases, lowRankStorages, rotations, sides, async (anyCase, key, rotation, which) => {
          const attentionCase = {...anyCase, dim: Math.max(2, anyCase.dim)};
          const {keyShape, valueShape, seed, spread} = shapesOf(attentionCase);
          const keys = withRotatedMean(randomLowRank(keyShape, key, seed, spread), seed + 4);
          const values =
            which === 'keys'
              ? randomTokens(valueShape, {kind: 'dense'}, seed + 7)
              : randomLowRank(valueShape, key, seed + 7);
          await expectAnswer(attentionCase, keys, values, randomRotation(keyShape, rotation, seed + 9));
        }),
        {numRuns},
      ));

    it('merges segments of different encodings: the mean of centred keys counts', async () => {
      // keys = 3 everywhere; one segment holds them as a mean with zero latents, the other as they are
      const output = tf.tidy(() => {
        const queries = tf.ones<tf.Rank.R4>([1, 1, 1, 2]);
        const ones = (rows: number, columns: number) => tf.ones<tf.Rank.R4>([1, 1, rows, columns]);
        const dense = (data: tf.Tensor4D): Encoding => ({kind: 'dense', dim: data.shape[3], data});
        const centred: LowRankEncoding = {
          kind: 'lowRank',
          dim: 2,
          rank: 1,
          latents: {kind: 'dense', dim: 1, data: tf.zeros([1, 1, 4, 1])},
          basis: ones(1, 2),
          mean: tf.mul<tf.Tensor4D>(ones(1, 2), 3),
        };
        const threes = dense(tf.mul(ones(4, 2), 3));
        return mergePartials([
          attend(queries, centred, dense(ones(4, 1)), {tokens: 4, scale: 1}),
          attend(queries, threes, dense(tf.zeros([1, 1, 4, 1])), {tokens: 4, scale: 1}),
        ]);
      });
      await expectClose(output, [0.5], 1e-6);
      output.dispose();
    });

    it('leaks nothing', async () => {
      const {keyShape, valueShape} = shapesOf({...plainCase, dim: 8, dimV: 6});
      const keys = randomLowRank(
        keyShape,
        {rank: 3, mean: true, latents: {kind: 'float8', format: 'e4m3'}},
        1,
      );
      const values = randomLowRank(valueShape, {rank: 2, mean: true, latents: {kind: 'dense'}}, 2);
      const keyRotation = randomRotation(keyShape, {pairs: 4, interleaved: false, positions: 'rows'}, 3);
      const queries = tf.ones<tf.Rank.R4>([1, 2, 3, 8]);
      await expectNoLeak(() => attend(queries, keys, values, {tokens: 5, scale: 1}));
      await expectNoLeak(() =>
        attend(queries, {...keys, rotate: true}, values, {tokens: 5, scale: 1, keyRotation}),
      );
      disposeEncoding(keys);
      disposeEncoding(values);
      tf.dispose([queries, keyRotation.cos, keyRotation.sin, keyRotation.positions]);
    });

    it('says what a low-rank encoding or its rotation lacks', () => {
      tf.tidy(() => {
        const {keyShape} = shapesOf({...plainCase, dim: 8});
        const keys = randomLowRank(keyShape, {rank: 3, mean: false, latents: {kind: 'dense'}}, 1);
        const values: Encoding = {kind: 'dense', dim: 1, data: tf.ones([1, 1, 5, 1])};
        const rotated = {...keys, rotate: true};
        const refuse = (
          encoding: Encoding,
          message: RegExp,
          keyRotation?: KeyRotation,
          of: Encoding = values,
        ) =>
          expect(() =>
            attend(tf.ones([1, 1, 1, 8]), encoding, of, {
              tokens: 5,
              scale: 1,
              keyRotation,
            }),
          ).to.throw(InvalidArgumentError, message);
        const tables = {cos: tf.ones<tf.Rank.R2>([9, 4]), sin: tf.zeros<tf.Rank.R2>([9, 4])};
        refuse(rotated, /needs keyRotation/);
        refuse(rotated, /positions = 5 for 5 tokens.*9 positions/s, {...tables, positions: 5});
        refuse(rotated, /positions = 0.5/, {...tables, positions: 0.5});
        refuse(rotated, /int32 \[1, 1, 4\]/, {...tables, positions: tf.zeros([1, 1, 4], 'int32')});
        refuse(rotated, /float32 \[1, 1, 5\]/, {...tables, positions: tf.zeros([1, 1, 5])});
        refuse(rotated, /at most dim \/ 2 pairs/, {cos: tf.ones([9, 5]), sin: tf.ones([9, 5]), positions: 0});
        refuse({...keys, rank: 4}, /rank 4.*dim 3/);
        refuse({...keys, basis: tf.ones([1, 1, 3, 7])}, /basis \[1, 1, 3, 7\]/);
        refuse({...keys, mean: tf.ones([1, 1, 2, 8])}, /mean \[1, 1, 2, 8\]/);
        const rotatedMean = tf.ones<tf.Rank.R4>([1, 1, 1, 8]);
        refuse({...keys, rotatedMean}, /have a rotated mean.*needs keyRotation/);
        refuse({...keys, rotatedMean: tf.ones([1, 1, 2, 8])}, /rotatedMean \[1, 1, 2, 8\]/);
        refuse({...rotated, rotatedMean}, /leave rotatedMean out/);
        refuse(keys, /values\.rotatedMean/, undefined, {...keys, rotatedMean});
        refuse(keys, /values\.rotate /, undefined, {...keys, rotate: true});
      });
    });
  },
  testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl'), // no exact 32-bit integers there
);

const sides = fc.constantFrom('keys', 'values', 'both');

const rotations = fc.record({
  pairs: fc.oneof(fc.integer({min: 1, max: 6}), fc.constant(32)),
  interleaved: fc.boolean(),
  positions: fc.constantFrom('run' as const, 'rows' as const, 'column' as const),
});

const plainCase: AttentionCase = {
  ...{batch: 1, kvHeads: 1, group: 2, queryTokens: 3, tokens: 5, spare: 0, dim: 4, dimV: 4},
  ...{causalOffset: undefined, spread: 1, seed: 1},
};

function shapesOf(attentionCase: AttentionCase) {
  const {batch, kvHeads, tokens, spare, dim, dimV, seed, spread} = attentionCase;
  const common = {batch, kvHeads, tokens, capacity: tokens + spare};
  return {keyShape: {...common, dim}, valueShape: {...common, dim: dimV}, seed, spread};
}

/** The kernels and the references answer as the definition does over what the encodings decode to; disposes of the encodings. */
async function expectAnswer(
  attentionCase: AttentionCase,
  keys: Encoding,
  values: Encoding,
  keyRotation?: KeyRotation,
): Promise<void> {
  const problem = problemOf(attentionCase);
  const {batch, heads, queryTokens, dim, dimV, tokens} = problem;
  const decoded = numbersOfEncoding(keys, tokens);
  const {keyShape} = shapesOf(attentionCase);
  const expected = attentionOracle({
    ...problem,
    capacity: tokens,
    keys: keyRotation === undefined ? decoded : rotatedKeys(keys, decoded, keyShape, keyRotation),
    values: numbersOfEncoding(values, tokens),
  });
  const queries = tf.tensor4d(Float32Array.from(problem.queries), [batch, heads, queryTokens, dim]);
  const options = {...optionsOf(problem), keyRotation};
  const run = () => attend(queries, keys, values, options);
  // a score adds up to 64 products of size spread^2, for low rank by way of latents; its weight exp(score) takes the error over
  const tolerance = 2e-5 * Math.max(1, attentionCase.spread ** 2);
  const plain = ops.reduce((inner, op) => () => withReference(op, inner), run);
  for (const [what, answer] of [
    ['reference', plain] as const,
    ...(hasKernel('Attend') ? [['kernel', run] as const] : []),
  ]) {
    const partial = answer();
    expect(partial.shape).to.deep.equal([batch, heads, queryTokens, dimV + 2]);
    const [output, max, sum] = tf.tidy(() => {
      const [o, m, s] = tf.split(partial, [dimV, 1, 1], 3) as [tf.Tensor, tf.Tensor, tf.Tensor];
      return [tf.divNoNan(o, s), m, s] as [tf.Tensor, tf.Tensor, tf.Tensor];
    });
    await expectClose(await max.data(), expected.max, tolerance, `${what}: max`);
    await expectClose(await sum.data(), expected.sum, tolerance, `${what}: sum`);
    await expectClose(await output.data(), expected.output, tolerance, `${what}: output`);
    tf.dispose([partial, output, max, sum]);
  }
  disposeEncoding(keys);
  disposeEncoding(values);
  tf.dispose([queries, options.bias ?? []]);
  if (keyRotation !== undefined) tf.dispose([keyRotation.cos, keyRotation.sin, keyRotation.positions]);
}
