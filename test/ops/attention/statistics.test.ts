import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {attend, type KeyRotation} from '../../../ops/attention/attend/index.js';
import {
  attentionStatistics,
  type AttentionStatistic,
  type AttentionStatisticsOptions,
} from '../../../ops/attention/statistics/index.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import type {Encoding, LowRankEncoding} from '../../../ops/encodings/encoding.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {hasKernel} from '../../../ops/run_op.js';
import {attentionCases, optionsOf, problemOf} from '../../support/attention_cases.js';
import {type AttentionProblem, scoreOf, seenTokens} from '../../support/attention_oracle.js';
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

const threshold = 0.05;

/** What of low-rank keys is rotated when they are read. */
type RotatedPart = 'none' | 'keys' | 'mean';

function withRotation(keys: LowRankEncoding, part: RotatedPart, seed: number): LowRankEncoding {
  return part === 'mean' ? withRotatedMean(keys, seed + 4) : {...keys, rotate: part === 'keys'};
}

describeOnBackends(
  'attentionStatistics',
  backend => {
    const numRuns = backend === 'wasm' ? 40 : 8;
    const cases = attentionCases.map(one => ({
      ...one,
      kvHeads: Math.min(one.kvHeads, 3),
      dim: Math.max(2, one.dim),
      spread: one.spread === 4 ? 1 : one.spread, // large scores have large errors, and the masses are exponentials
    }));
    const keyEncodings = fc.oneof(
      tokenStorages.map(storage => ({storage})),
      fc.record({lowRank: lowRankStorages, rotation: fc.constantFrom<RotatedPart>('none', 'keys', 'mean')}),
    );
    const statistics = fc.constantFrom<AttentionStatistic>('mass', 'uses', 'lastUse');

    it('counts what the definition gives each token, over keys of any encoding', () =>
      fc.assert(
        fc.asyncProperty(cases, keyEncodings, statistics, async (one, how, statistic) => {
          const problem = problemOf(one);
          const {batch, heads, kvHeads, queryTokens, dim, tokens} = problem;
          const shape = {batch, kvHeads, tokens, capacity: problem.capacity, dim};
          const keys: Encoding =
            'storage' in how
              ? randomTokens(shape, how.storage, one.seed, one.spread)
              : withRotation(randomLowRank(shape, how.lowRank, one.seed, one.spread), how.rotation, one.seed);
          const rotates = 'lowRank' in how && how.rotation !== 'none';
          const rotation: KeyRotation | undefined = rotates
            ? randomRotation(shape, {pairs: 3, interleaved: false, positions: 'rows'}, one.seed)
            : undefined;
          const decoded = numbersOfEncoding(keys, tokens);
          const numbers = rotation === undefined ? decoded : rotatedKeys(keys, decoded, shape, rotation);
          const expected = statisticsOracle({...problem, capacity: tokens, keys: numbers}, statistic);
          const queries = tf.tensor4d(Float32Array.from(problem.queries), [batch, heads, queryTokens, dim]);
          const logSum = tf.tensor4d(expected.logSums, [batch, heads, queryTokens, 1]);
          const options: AttentionStatisticsOptions = {
            ...optionsOf(problem),
            statistic,
            threshold,
            keyRotation: rotation,
          };
          const run = () => attentionStatistics(queries, keys, logSum, options);
          const answers = [withReference('AttentionStatistics', run)];
          if (hasKernel('AttentionStatistics')) answers.push(run());
          for (const answer of answers) {
            expect(answer.shape).to.deep.equal([batch, kvHeads, tokens]);
            const actual = await answer.data();
            // if a probability is nearly the threshold, rounding decides
            const clear = [...actual.keys()].filter(i => !expected.unclear.has(i));
            await expectClose(
              clear.map(i => actual[i]!),
              clear.map(i => expected.values[i]!),
              statistic === 'mass' ? 5e-5 : 0,
            );
          }
          disposeEncoding(keys);
          tf.dispose([queries, logSum, options.bias ?? [], ...answers]);
          if (rotation !== undefined) tf.dispose([rotation.cos, rotation.sin, rotation.positions]);
        }),
        {numRuns},
      ));

    it('gives probabilities over several segments: all masses add up to the number of queries', async () => {
      const total = tf.tidy(() => {
        const queries = tf.randomNormal<tf.Rank.R4>([1, 6, 5, 8]);
        const dense = (tokens: number): Encoding => ({
          kind: 'dense',
          dim: 8,
          data: tf.randomNormal([1, 2, tokens, 8]),
        });
        const segments = [
          {keys: dense(70), options: {tokens: 70, scale: 0.4}},
          {keys: dense(5), options: {tokens: 5, scale: 0.4, firstQuery: 0}},
        ];
        const logSum = partialLogSum(segments.map(({keys, options}) => attend(queries, keys, keys, options)));
        return tf.addN(
          segments.map(({keys, options}) =>
            tf.sum(attentionStatistics(queries, keys, logSum, {...options, statistic: 'mass'}), 2),
          ),
        );
      });
      await expectClose(total, [15, 15], 1e-5); // 3 heads of a group x 5 queries
      total.dispose();
    });

    it('takes nothing from queries that saw no token', async () => {
      const options = {tokens: 4, scale: 1};
      const keys: Encoding = {kind: 'dense', dim: 2, data: tf.ones([1, 1, 4, 2])};
      for (const [queryTokens, rows] of [
        [1, 1],
        [9, 9],
      ] as const) {
        const queries = tf.ones<tf.Rank.R4>([1, 1, queryTokens, 2]);
        const nothing = tf.fill<tf.Rank.R4>([1, 1, rows, 1], -Infinity);
        const mass = attentionStatistics(queries, keys, nothing, {...options, statistic: 'mass'});
        const last = attentionStatistics(queries, keys, nothing, {
          ...options,
          statistic: 'lastUse',
          threshold: 0.5,
        });
        await expectClose(mass, [0, 0, 0, 0], 0);
        await expectClose(last, [-1, -1, -1, -1], 0);
        tf.dispose([queries, nothing, mass, last]);
      }
      disposeEncoding(keys);
    });

    it('takes an empty segment', () => {
      tf.tidy(() => {
        const keys: Encoding = {kind: 'dense', dim: 2, data: tf.ones([1, 2, 0, 2])};
        const mass = attentionStatistics(tf.ones([1, 2, 3, 2]), keys, tf.zeros([1, 2, 3, 1]), {
          tokens: 0,
          scale: 1,
          statistic: 'mass',
        });
        expect(mass.shape).to.deep.equal([1, 2, 0]);
      });
    });

    it('leaks nothing', async () => {
      const shape = {batch: 1, kvHeads: 2, tokens: 5, capacity: 6, dim: 8};
      const keys = randomLowRank(shape, {rank: 3, mean: true, latents: {kind: 'dense'}}, 1);
      const [queries, logSum] = [tf.ones<tf.Rank.R4>([1, 2, 3, 8]), tf.ones<tf.Rank.R4>([1, 2, 3, 1])];
      await expectNoLeak(() =>
        attentionStatistics(queries, keys, logSum, {tokens: 5, scale: 1, statistic: 'uses', threshold}),
      );
      disposeEncoding(keys);
      tf.dispose([queries, logSum]);
    });

    it('refuses a missing threshold and sums that do not fit', () => {
      tf.tidy(() => {
        const keys: Encoding = {kind: 'dense', dim: 2, data: tf.ones([1, 2, 4, 2])};
        const run = (logSum: tf.Tensor4D, more: Partial<AttentionStatisticsOptions>) => () =>
          attentionStatistics(tf.ones([1, 2, 3, 2]), keys, logSum, {
            tokens: 4,
            scale: 1,
            statistic: 'uses',
            ...more,
          });
        const logSum = tf.zeros<tf.Rank.R4>([1, 2, 3, 1]);
        expect(run(logSum, {})).to.throw(InvalidArgumentError, /threshold = undefined.*'uses'/);
        for (const wrong of [0, -0.1, 1.5, NaN]) {
          expect(run(logSum, {threshold: wrong})).to.throw(InvalidArgumentError, /\(0, 1\]/);
        }
        expect(run(tf.zeros([1, 2, 1, 1]), {threshold})).to.throw(
          InvalidArgumentError,
          /expected \[1, 2, 3, 1\]/,
        );
        expect(run(logSum, {threshold, tokens: 5})).to.throw(InvalidArgumentError, /tokens = 5/);
      });
    });
  },
  testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl'), // no exact 32-bit integers there
);

/** By the definition, in double precision, over this segment alone. */
function statisticsOracle(problem: AttentionProblem, statistic: AttentionStatistic) {
  const {batch, heads, kvHeads, queryTokens, tokens} = problem;
  const group = heads / kvHeads;
  const values = new Float64Array(batch * kvHeads * tokens).fill(statistic === 'lastUse' ? -1 : 0);
  const logSums = new Float32Array(batch * heads * queryTokens).fill(-Infinity);
  const unclear = new Set<number>();
  for (let kvHead = 0; kvHead < batch * kvHeads; kvHead++) {
    for (let query = 0; query < queryTokens; query++) {
      const best = new Float64Array(tokens);
      for (let member = 0; member < group; member++) {
        const row = (kvHead * group + member) * queryTokens + query;
        const [from, to] = seenTokens(problem, query);
        if (from >= to) continue;
        const scores = Array.from({length: to - from}, (_, i) => scoreOf(problem, row, kvHead, from + i));
        const max = scores.reduce((a, b) => Math.max(a, b), -Infinity);
        const logSum = max + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - max), 0));
        logSums[row] = logSum;
        scores.forEach((score, i) => {
          const token = from + i;
          const p = Math.exp(score - logSum);
          best[token] = Math.max(best[token]!, p);
          if (statistic === 'mass') values[kvHead * tokens + token] = values[kvHead * tokens + token]! + p;
        });
      }
      if (statistic === 'mass') continue;
      best.forEach((p, token) => {
        const at = kvHead * tokens + token;
        if (Math.abs(p - threshold) < 1e-5) unclear.add(at);
        if (p >= threshold) values[at] = statistic === 'uses' ? values[at]! + 1 : query;
      });
    }
  }
  return {values, logSums, unclear};
}
