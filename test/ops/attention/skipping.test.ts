import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {attendSegments} from '../../../ops/attention/attend/segments.js';
import type {SkipCounts, Skipping} from '../../../ops/attention/attend/types.js';
import {
  attentionCases,
  denseEncoding,
  disposeEncoding,
  problemOf,
  sideLayouts,
  store,
  tensorsOfProblem,
} from '../../support/attention_cases.js';
import {describeOnBackends} from '../../support/backends.js';
import {expectNoLeak} from '../../support/tensors.js';

const noCounts = (): SkipCounts => ({tokens: 0, unread: 0});

/** Keys of one channel, so that a query of 1 has them for scores. */
const keysOf = (scores: readonly number[]) => tf.tensor4d([...scores], [1, 1, scores.length, 1]);

/** Scores in an order that a rule by running sums might be wrong about. */
const orders: {readonly [name: string]: (index: number, tokens: number) => number} = {
  rising: (i, n) => (30 * i) / n - 30,
  falling: (i, n) => (-30 * i) / n,
  'rising at last': (i, n) => (i < n - 100 ? -20 : 0),
  'up and down': i => -Math.abs(((i * 37) % 61) - 30),
  'all alike': () => 0,
  'one token': (i, n) => (i === n >> 1 ? 0 : -18),
  'below every bound by itself': (_, n) => Math.log(1e-3 / n),
};

describeOnBackends('what decoding leaves unread', backend => {
  const isWasm = backend === 'wasm';

  it('changes no output by more than the part of the attention times the largest value', () =>
    fc.assert(
      fc.asyncProperty(
        attentionCases,
        sideLayouts,
        sideLayouts,
        fc.constantFrom(1e-4, 0.01, 0.3, 1),
        async (attentionCase, keyLayout, valueLayout, share) => {
          const problem = problemOf(attentionCase);
          const {tokens, scale, firstQuery} = problem;
          const tensors = tensorsOfProblem(problem);
          const keys = store(tensors.keys, tokens, keyLayout),
            values = store(tensors.values, tokens, valueLayout);
          const run = (part: number) =>
            attendSegments(tensors.queries, [
              {
                ...{keys: keys.encoding, values: values.encoding, tokens, scale, firstQuery},
                skipping: {share: part},
              },
            ]);
          const [all, some] = [run(0), run(share)];
          const largest = largestOf(await values.decoded.data());
          const differences = await tf.tidy(() => tf.abs(tf.sub(all, some))).data();
          expect(Math.max(...differences)).to.be.at.most((share + 4e-5) * largest);
          tf.dispose([tensors, keys.decoded, values.decoded, all, some] as tf.TensorContainer);
          [keys.encoding, values.encoding].forEach(disposeEncoding);
        },
      ),
      {numRuns: isWasm ? 80 : 4},
    ));

  const sources = ['scores', 'biases'] as const;
  const cases = Object.entries(orders).flatMap(([name, scoreOf]) =>
    sources.map(source => ({name, scoreOf, source})),
  );
  for (const {name, scoreOf, source} of cases) {
    it(`keeps its bound with ${source} that are ${name}`, async () => {
      const tokens = 3000;
      const scores = keysOf(Array.from({length: tokens}, (_, i) => scoreOf(i, tokens)));
      const nothing = tf.zerosLike(scores);
      const [keys, bias] = source === 'scores' ? [scores, undefined] : [nothing, scores];
      // ones show the part that was left out: weights stay in the sum; and a huge value counts as that part of it
      const isHuge = (i: number) => i % 3 === 0;
      const values = tf.tensor4d(Array.from({length: tokens}, (_, i) => [1, isHuge(i) ? 1e6 : 0]).flat(), [
        1,
        1,
        tokens,
        2,
      ]);
      for (const rows of [1, 2, 3, 5]) {
        const queries = tf.ones<tf.Rank.R4>([1, rows, 1, 1]);
        const counts = noCounts();
        for (const share of [1e-6, 1e-3, 0.1]) {
          const run = (skipping: Skipping) =>
            attendSegments(queries, [
              ...[
                {keys: denseEncoding(keys), values: denseEncoding(values), bias, tokens, scale: 1, skipping},
              ],
            ]);
          const outputs = [run({share: 0}), run({share, counts})];
          const [all, some] = await Promise.all(outputs.map(output => output.data()));
          expect(all![0]! - some![0]!).to.be.at.most(share + 1e-6);
          expect(Math.abs(all![1]! - some![1]!)).to.be.at.most((share + 4e-6) * 1e6);
          tf.dispose(outputs);
        }
        expect(counts.tokens).to.equal(isWasm ? 3 * tokens * Math.ceil(rows / 4) : 0);
        const leavesOut = !['all alike', 'below every bound by itself'].includes(name);
        expect(counts.unread > 0).to.equal(isWasm && leavesOut);
        queries.dispose();
      }
      tf.dispose([scores, nothing, values]);
    });
  }

  it('passes NaN on', async () => {
    const tokens = 200;
    const values = tf.ones<tf.Rank.R4>([1, 1, tokens, 4]);
    const keys = keysOf(Array.from({length: tokens}, (_, i) => (i === 3 ? NaN : 0)));
    const queries = tf.ones<tf.Rank.R4>([1, 3, 1, 1]);
    const output = attendSegments(queries, [
      {
        ...{keys: denseEncoding(keys), values: denseEncoding(values), tokens, scale: 1},
        skipping: {share: 0.5},
      },
    ]);
    expect([...(await output.data())].every(Number.isNaN)).to.equal(true);
    tf.dispose([values, keys, queries, output]);
  });

  it('shares its bound among segments, and leaks nothing', async () => {
    const tokens = 2000;
    // half of the tokens in each segment, all of them under the bound of one of them alone
    const keys = keysOf([...Array<number>(tokens / 2).fill(-9), ...Array<number>(tokens / 2).fill(0)]);
    const parts = [0, tokens / 2].map(from => tf.slice(keys, [0, 0, from, 0], [-1, -1, tokens / 2, -1]));
    const values = tf.ones<tf.Rank.R4>([1, 1, tokens / 2, 1]);
    const queries = tf.ones<tf.Rank.R4>([1, 3, 1, 1]);
    const counts = noCounts();
    const run = (share: number) =>
      attendSegments(
        queries,
        parts.map(part => ({
          ...{keys: denseEncoding(part), values: denseEncoding(values), tokens: tokens / 2, scale: 1},
          skipping: {share, counts},
        })),
      );
    const output = run(1e-4);
    expect(1 - (await output.data())[0]!).to.be.at.most(1e-4 + 1e-6);
    expect(counts.tokens).to.equal(isWasm ? tokens : 0);
    await expectNoLeak(() => run(0.1));
    tf.dispose([keys, ...parts, values, queries, output]);
  });

  it('reads everything for many rows of queries', async () => {
    const keys = tf.randomNormal<tf.Rank.R4>([1, 1, 256, 8], 0, 4);
    const queries = tf.randomNormal<tf.Rank.R4>([1, 17, 1, 8], 0, 4);
    const counts = noCounts();
    const run = (skipping: Skipping) => {
      const segment = {keys: denseEncoding(keys), values: denseEncoding(keys), tokens: 256, scale: 1};
      return attendSegments(queries, [{...segment, skipping}]);
    };
    const [all, some] = [run({share: 0}), run({share: 1, counts})];
    expect(Math.max(...(await tf.tidy(() => tf.abs(tf.sub(all, some))).data()))).to.be.at.most(1e-6);
    expect(counts).to.deep.equal(noCounts());
    tf.dispose([keys, queries, all, some]);
  });
});

/** The largest magnitude; spare rows are NaN, which no comparison is true of. */
function largestOf(x: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < x.length; i++) if (Math.abs(x[i]!) > largest) largest = Math.abs(x[i]!);
  return largest;
}
