import * as tf from '@tensorflow/tfjs';
import {attend} from '../../../ops/attention/attend/index.js';
import {attendSegments} from '../../../ops/attention/attend/segments.js';
import type {AttendOptions} from '../../../ops/attention/attend/types.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {attentionStatistics} from '../../../ops/attention/statistics/index.js';
import {describeOnBackends} from '../../support/backends.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

// Biases by distance, and windows over tokens with positions of their own: what differs from query to query.

const [batch, heads, queryTokens, tokens, dim, distances] = [2, 3, 4, 9, 5, 7];
const capacity = 11;
const threshold = 0.2;
const firstQuery = 20;
const scattered = [0, 3, 4, 9, 13, 14, 17, 20, 22];
/** Positions of the tokens of each head of each text. */
const own = Array.from({length: batch * heads}, (_, row) =>
  scattered.map((position, i) => (row % 2 === 1 && i > 3 && i < 7 ? position - 2 : position)),
);
const run = own.map(() => scattered.map((_, i) => 15 + i));

const numbers = {
  queries: randomFloats(1, batch * heads * queryTokens * dim),
  keys: randomFloats(2, batch * heads * capacity * dim),
  values: randomFloats(3, batch * heads * capacity * dim),
  table: randomFloats(4, heads * distances),
  bias: randomFloats(5, batch * heads * capacity),
};

interface Case {
  readonly positions: 'run' | 'own';
  readonly relative?: boolean;
  readonly window?: number;
  readonly bias?: boolean;
  readonly softCap?: number;
  readonly causal?: boolean;
}
const cases: Readonly<Record<string, Case>> = {
  'biases over a run': {positions: 'run', relative: true},
  'biases over a causal run in a window': {positions: 'run', relative: true, causal: true, window: 4},
  'biases over scattered tokens': {positions: 'own', relative: true},
  'a window over scattered tokens': {positions: 'own', window: 9},
  'all of them': {positions: 'own', relative: true, window: 9, bias: true, softCap: 1.5},
  'all of them over a causal run': {
    positions: 'run',
    relative: true,
    window: 6,
    bias: true,
    softCap: 1.5,
    causal: true,
  },
};

/** A causal run ends at the last query. */
const causalAt = tokens - queryTokens;

function optionsOf({positions, relative, window, bias, softCap, causal}: Case): AttendOptions {
  const start = run[0]![0]!;
  const query = causal === true ? start + causalAt : firstQuery;
  const rows = own.flatMap(row => [...row, 0, 0]); // spare capacity
  const at = positions === 'run' ? start : tf.tensor4d(rows, [batch, heads, capacity, 1]);
  return {
    ...{tokens, scale: 0.7, softCap},
    ...(causal === true && {firstQuery: causalAt}),
    ...(window !== undefined && {window: {size: window, firstQuery: query, positions: at}}),
    ...(relative === true && {
      relative: {table: tf.tensor2d(numbers.table, [heads, distances]), firstQuery: query, positions: at},
    }),
    ...(bias === true && {bias: tf.tensor4d(numbers.bias, [batch, heads, capacity, 1])}),
  };
}

/** Probabilities and outputs in double precision. */
function expectedOf({positions, relative, window = Infinity, bias, softCap, causal}: Case) {
  const p: number[][][] = [];
  const outputs: number[] = [];
  for (let row = 0; row < batch * heads; row++) {
    const at = (positions === 'run' ? run : own)[row]!;
    const ofHead: number[][] = [];
    for (let i = 0; i < queryTokens; i++) {
      const query = causal === true ? run[0]![0]! + causalAt + i : firstQuery + i;
      const scores = at.map((position, j) => {
        if (position <= query - window || (causal === true && j > causalAt + i)) return -Infinity;
        let score = 0;
        for (let c = 0; c < dim; c++) {
          score +=
            0.7 *
            numbers.queries[(row * queryTokens + i) * dim + c]! *
            numbers.keys[(row * capacity + j) * dim + c]!;
        }
        if (softCap !== undefined) score = softCap * Math.tanh(score / softCap);
        if (bias === true) score += numbers.bias[row * capacity + j]!;
        const distance = Math.min(Math.max(query - position, 0), distances - 1);
        return relative === true ? score + numbers.table[(row % heads) * distances + distance]! : score;
      });
      const sum = scores.reduce((all, score) => all + Math.exp(score), 0);
      const weights = scores.map(score => Math.exp(score) / sum);
      ofHead.push(weights);
      for (let c = 0; c < dim; c++) {
        outputs.push(
          weights.reduce(
            (all, weight, j) => all + weight * numbers.values[(row * capacity + j) * dim + c]!,
            0,
          ),
        );
      }
    }
    p.push(ofHead);
  }
  const ofTokens = (statistic: (weights: number[]) => number) =>
    p.flatMap(ofHead => scattered.map((_, j) => statistic(ofHead.map(weights => weights[j]!))));
  return {
    outputs,
    mass: ofTokens(weights => weights.reduce((a, b) => a + b)),
    uses: ofTokens(weights => weights.filter(weight => weight >= threshold).length),
    lastUse: ofTokens(weights => weights.findLastIndex(weight => weight >= threshold)),
  };
}

describeOnBackends('several queries that each see other tokens, or with other biases', () => {
  const inputs = () => ({
    queries: tf.tensor4d(numbers.queries, [batch, heads, queryTokens, dim]),
    keys: {kind: 'dense', dim, data: tf.tensor4d(numbers.keys, [batch, heads, capacity, dim])} as const,
    values: {kind: 'dense', dim, data: tf.tensor4d(numbers.values, [batch, heads, capacity, dim])} as const,
  });

  for (const [name, kind] of Object.entries(cases)) {
    it(`${name}: attention and its statistics in double precision`, async () => {
      const expected = expectedOf(kind);
      const [output, fused, mass, uses, lastUse] = tf.tidy(() => {
        const {queries, keys, values} = inputs();
        const options = optionsOf(kind);
        const partial = attend(queries, keys, values, options);
        const logSum = partialLogSum([partial]);
        const statistics = (['mass', 'uses', 'lastUse'] as const).map(statistic =>
          attentionStatistics(queries, keys, logSum, {...options, statistic, threshold}),
        );
        return [
          mergePartials([partial]),
          attendSegments(queries, [{keys, values, ...options}]),
          ...statistics,
        ] as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      });
      await expectClose(output, expected.outputs, 1e-5, 'attend');
      await expectClose(fused, expected.outputs, 1e-5, 'attendSegments');
      await expectClose(mass, expected.mass, 1e-5, 'mass');
      await expectClose(uses, expected.uses, 0, 'uses');
      await expectClose(lastUse, expected.lastUse, 0, 'lastUse');
      tf.dispose([output, fused, mass, uses, lastUse]);
    });
  }

  it('leave nothing behind', () =>
    expectNoLeak(() => {
      const {queries, keys, values} = inputs();
      const options = optionsOf(cases['all of them']!);
      const partial = attend(queries, keys, values, options);
      const logSum = partialLogSum([partial]);
      const uses = attentionStatistics(queries, keys, logSum, {...options, statistic: 'uses', threshold});
      const {relative, window, bias} = options;
      return [
        queries,
        keys.data,
        values.data,
        partial,
        logSum,
        uses,
        relative!.table,
        bias!,
        window!.positions as tf.Tensor,
      ];
    }));
});
