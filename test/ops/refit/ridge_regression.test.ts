import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {ridgeRegression} from '../../../ops/refit/ridge_regression.js';
import {describeOnBackends} from '../../support/backends.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak, randomTensor4d} from '../../support/tensors.js';

const cases = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  kvHeads: fc.integer({min: 1, max: 3}),
  rows: fc.integer({min: 1, max: 40}),
  /** Tokens of each run. */
  runs: fc.array(fc.integer({min: 1, max: 30}), {minLength: 1, maxLength: 3}),
  dimV: fc.integer({min: 1, max: 9}),
  seed: fc.integer(),
});

describeOnBackends('ridgeRegression', () => {
  it('solves the normal equations', () =>
    fc.assert(
      fc.asyncProperty(cases, async ({batch, kvHeads, rows, runs, dimV, seed}) => {
        const heads = batch * kvHeads;
        const tokens = runs.reduce((sum, run) => sum + run, 0);
        // probabilities: most are small, some are large
        const attention = randomFloats(seed, heads * rows * tokens).map(x => Math.exp(4 * x));
        for (let row = 0; row < heads * rows; row++) {
          const of = attention.subarray(row * tokens, (row + 1) * tokens);
          const sum = of.reduce((total, p) => total + p, 0);
          of.forEach((p, i) => (of[i] = p / sum));
        }
        const wanted = randomFloats(seed + 1, heads * rows * dimV);
        const p = tf.tensor4d(attention, [batch, kvHeads, rows, tokens]);
        const d = tf.tensor4d(wanted, [batch, kvHeads, rows, dimV]);
        const starts = runs.map((_, i) => runs.slice(0, i).reduce((sum, run) => sum + run, 0));
        const x = tf.tidy(() =>
          tf.concat(
            ridgeRegression(
              runs.map((run, i) => () => tf.slice(p, [0, 0, 0, starts[i]!], [-1, -1, -1, run])),
              d,
            ),
            2,
          ),
        );
        expect(x.shape).to.deep.equal([batch, kvHeads, tokens, dimV]);
        const found = Float64Array.from(await x.data());
        const [left, right] = [new Float64Array(found.length), new Float64Array(found.length)];
        for (let head = 0; head < heads; head++) {
          const at = (row: number, token: number) => attention[(head * rows + row) * tokens + token]!;
          const of = (token: number, column: number) => (head * tokens + token) * dimV + column;
          let squares = 0;
          for (let row = 0; row < rows; row++)
            for (let token = 0; token < tokens; token++) squares += at(row, token) ** 2;
          for (let column = 0; column < dimV; column++) {
            for (let row = 0; row < rows; row++) {
              let output = 0;
              for (let token = 0; token < tokens; token++)
                output += at(row, token) * found[of(token, column)]!;
              for (let token = 0; token < tokens; token++) {
                left[of(token, column)]! += at(row, token) * output;
                right[of(token, column)]! += at(row, token) * wanted[(head * rows + row) * dimV + column]!;
              }
            }
            for (let token = 0; token < tokens; token++)
              left[of(token, column)]! += ((0.5 * squares) / rows) * found[of(token, column)]!;
          }
        }
        const largest = right.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        await expectClose(
          left.map(value => value / largest),
          right.map(value => value / largest),
          1e-4, // float32 times the condition of P P^T + lambda I, up to 2 rows
        );
        tf.dispose([p, d, x]);
      }),
      {numRuns: 60},
    ));

  it('changes nothing where nothing is seen or nothing is lost, whatever the size of numbers, and leaks nothing', () =>
    expectNoLeak(async () => {
      const p = tf.tidy(() => tf.softmax(randomTensor4d(1, 1, 1, 5, 7)));
      const d: tf.Tensor4D = tf.ones([1, 1, 5, 3]);
      const [unseen, nothing] = [tf.zerosLike(p), tf.zerosLike(d)];
      const solve = async (of: tf.Tensor4D, lost: tf.Tensor4D) => {
        const x = tf.tidy(() => ridgeRegression([() => of], lost)[0]!);
        const numbers = await x.data();
        x.dispose();
        return [...numbers];
      };
      expect(Math.max(...(await solve(unseen, d)).map(Math.abs))).to.equal(0);
      expect(Math.max(...(await solve(p, nothing)).map(Math.abs))).to.equal(0);
      const exact = await solve(p, d);
      for (const size of [1e-30, 1e-15, 1e15, 1e30]) {
        const large = tf.mul<tf.Tensor4D>(d, size);
        const found = await solve(p, large);
        await expectClose(
          found.map(number => number / size),
          exact,
          1e-4,
        );
        large.dispose();
      }
      tf.dispose([p, d, unseen, nothing]);
    }));
});
