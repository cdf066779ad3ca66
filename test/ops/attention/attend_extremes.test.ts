import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {attend} from '../../../ops/attention/attend/index.js';
import {attentionStatistics} from '../../../ops/attention/statistics/index.js';
import {causalAttention} from '../../../ops/attention/causal/index.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {denseEncoding, optionsOf, tensorsOfProblem} from '../../support/attention_cases.js';
import {attentionOracle, type AttentionProblem} from '../../support/attention_oracle.js';
import {describeOnBackends} from '../../support/backends.js';
import {randomFloats} from '../../support/random.js';
import {expectClose} from '../../support/tensors.js';

const tokens = 70; // more than one tile of the kernel
const heads = 10; // of one key head: eight rows by fours, two by ones

/** What overflows, divides by zero or loses all digits when attention is computed naively. */
interface Extreme {
  name: string;
  key: (token: number, channel: number) => number;
  value: (token: number, channel: number) => number;
  /** All channels of all queries. */
  query: number;
}

const extremes: readonly Extreme[] = [
  {name: 'equal scores', key: () => 1, value: (t, c) => Math.sin(t + c), query: 1},
  {name: 'keys of zero', key: () => 0, value: (t, c) => Math.cos(t * c), query: 1},
  {name: 'values of 1e30', key: t => Math.sin(t), value: (t, c) => 1e30 * Math.sin(t + c), query: 1},
  {name: 'values of 1e-30', key: t => Math.sin(t), value: (t, c) => 1e-30 * Math.sin(t + c), query: 1},
  {name: 'keys of 1e30', key: t => 1e30 * Math.sin(t), value: (t, c) => t + c, query: 1e-30},
  {name: 'keys of 1e-30', key: t => 1e-30 * Math.sin(t), value: (t, c) => t - c, query: 1e30},
  {name: 'a score of 1e30', key: t => (t === 66 ? 1e30 : 1), value: (t, c) => t + c, query: 1},
  {name: 'all scores but one -1e30', key: t => (t === 3 ? -1 : -1e30), value: (t, c) => t + c, query: 1},
  {name: 'an outlying key', key: t => (t === 41 ? 1e4 : 0.1), value: (t, c) => t - c, query: 1},
  // a sum rounds by units here, and not the same in each kernel
  {name: 'scores of 1e8', key: (t, c) => 1e4 * Math.sin(17 * t + 5 * c), value: (t, c) => t - c, query: 2e4},
  {name: 'rising scores', key: t => 3 * t, value: (t, c) => t - c, query: 1},
  {name: 'falling scores', key: t => -3 * t, value: (t, c) => t - c, query: 1},
];

const [dim, dimV] = [20, 6];

/** Grouped heads with one query each, or with a query for each token. */
function problemOf({key, value, query}: Extreme, queryTokens: number): AttentionProblem {
  return {
    ...{batch: 1, heads, kvHeads: 1, queryTokens, capacity: tokens, tokens, dim, dimV, scale: 0.5},
    ...(queryTokens > 1 && {firstQuery: 0}),
    queries: Float32Array.from({length: heads * queryTokens * dim}, () => query),
    keys: Float32Array.from({length: tokens * dim}, (_, i) => key(Math.floor(i / dim), i % dim)),
    values: Float32Array.from({length: tokens * dimV}, (_, i) => value(Math.floor(i / dimV), i % dimV)),
  };
}

describeOnBackends('attention on extreme inputs', () => {
  for (const extreme of extremes) {
    const {name} = extreme;
    it(`attends right for ${name}`, async () => {
      const problem = problemOf(extreme, 1);
      const output = tf.tidy(() => {
        const tensors = tensorsOfProblem(problem);
        const [keys, values] = [denseEncoding(tensors.keys), denseEncoding(tensors.values)];
        return mergePartials([attend(tensors.queries, keys, values, optionsOf(problem))]);
      });
      const numbers = await output.data();
      expect([...numbers].every(Number.isFinite), 'all finite').to.be.true;
      // errors count relative to the largest value, which may be 1e30 or 1e-30
      const largest = largestOf(problem.values);
      const expected = attentionOracle(problem).output.map(x => x / largest);
      await expectClose(
        Float64Array.from(numbers, x => x / largest),
        expected,
        2e-6,
      );
      output.dispose();
    });

    it(`gives each token its mass for ${name}`, async () => {
      for (const queryTokens of [1, tokens]) {
        const problem = problemOf(extreme, queryTokens);
        const {masses, error} = massOracle(problem);
        const mass = tf.tidy(() => {
          const {queries, keys, values} = tensorsOfProblem(problem);
          const partials = [attend(queries, denseEncoding(keys), denseEncoding(values), optionsOf(problem))];
          const options = {...optionsOf(problem), statistic: 'mass'} as const;
          return attentionStatistics(queries, denseEncoding(keys), partialLogSum(partials), options);
        });
        const numbers = await mass.data();
        for (const [token, number] of numbers.entries()) {
          expect(number, `token ${token} of ${queryTokens} queries`).to.be.closeTo(
            masses[token]!,
            error[token]!,
          );
        }
        mass.dispose();
      }
    });

    it(`has the right gradient for ${name}`, async () => {
      const problem = problemOf(extreme, tokens);
      const dy = randomFloats(4, heads * tokens * dimV);
      const gradients = tf.tidy(() => {
        const {queries, keys, values} = tensorsOfProblem(problem);
        const run = (...[q, k, v]: tf.Tensor[]) =>
          causalAttention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, {scale: problem.scale});
        return tf.grads(run)([queries, keys, values], tf.tensor4d(dy, [1, heads, tokens, dimV]));
      });
      for (const [i, expected] of gradientOracle(problem, dy).entries()) {
        const numbers = await gradients[i]!.data();
        for (const [at, number] of numbers.entries()) {
          const allowed = expected.allowed[at]!;
          if (!(Math.abs(number - expected.sum[at]!) <= allowed)) {
            expect.fail(
              `${['dQ', 'dK', 'dV'][i]} ${at}: ${number}; expected ${expected.sum[at]} within ${allowed}`,
            );
          }
        }
      }
      tf.dispose(gradients);
    });
  }
});

const largestOf = (numbers: ArrayLike<number>): number => Math.max(...Array.from(numbers, Math.abs));

/** Every query's probabilities in float64, and how far float32 may be off: what `attentionStatistics` states. */
function* probabilities({queryTokens, queries, keys, scale, firstQuery}: AttentionProblem) {
  for (let row = 0; row < heads * queryTokens; row++) {
    const seen = firstQuery === undefined ? tokens : (row % queryTokens) + 1;
    const scores = Array.from({length: seen}, (_, token) => {
      let score = 0;
      for (let c = 0; c < dim; c++) score += queries[row * dim + c]! * keys[token * dim + c]! * scale;
      return score;
    });
    const max = Math.max(...scores);
    const logSum = max + Math.log(scores.reduce((total, score) => total + Math.exp(score - max), 0));
    const p = scores.map(score => Math.exp(score - logSum));
    const error = scores.map((score, token) => {
      const lost = (Math.abs(score) + Math.abs(logSum)) * 2 ** -22 + 1e-6;
      const [least, most] = [Math.exp(score - logSum - lost), Math.min(1, Math.exp(score - logSum + lost))];
      return Math.max(p[token]! - least, most - p[token]!);
    });
    yield {row, p, error};
  }
}

/** What each token gets. */
function massOracle(problem: AttentionProblem) {
  const [masses, error] = [new Float64Array(tokens), new Float64Array(tokens)];
  for (const query of probabilities(problem)) {
    for (const [token, share] of query.p.entries()) {
      masses[token]! += share;
      error[token]! += query.error[token]!;
    }
  }
  const additions = heads * problem.queryTokens;
  return {
    masses,
    error: error.map((lost, token) => lost + additions * 2 ** -24 * masses[token]! + 2 ** -120),
  };
}

/** The gradients by their definition, and how far float32 may be off: by the error of the probabilities, and by rounding. */
function gradientOracle(problem: AttentionProblem, dy: Float32Array) {
  const {queries, keys, values, scale} = problem;
  const {output} = attentionOracle(problem);
  const sides = [queries, keys, values].map(({length}) => ({
    sum: new Float64Array(length),
    allowed: new Float64Array(length).fill(2 ** -120),
  }));
  const add = (side: number, at: number, x: number, allowed: number): void => {
    sides[side]!.sum[at]! += x;
    sides[side]!.allowed[at]! += allowed;
  };
  for (const {row, p, error} of probabilities(problem)) {
    for (const [token, share] of p.entries()) {
      const lost = error[token]! + 2e-5 * share;
      let [slope, size] = [0, 0];
      for (let c = 0; c < dimV; c++) {
        const [d, v, o] = [dy[row * dimV + c]!, values[token * dimV + c]!, output[row * dimV + c]!];
        slope += d * (v - o);
        size += Math.abs(d) * (Math.abs(v) + Math.abs(o));
        add(2, token * dimV + c, share * d, lost * Math.abs(d));
      }
      const [dScore, ofScore] = [share * slope * scale, lost * size * scale];
      for (let c = 0; c < dim; c++) {
        const [q, k] = [queries[row * dim + c]!, keys[token * dim + c]!];
        add(0, row * dim + c, dScore * k, ofScore * Math.abs(k));
        add(1, token * dim + c, dScore * q, ofScore * Math.abs(q));
      }
    }
  }
  return sides;
}
