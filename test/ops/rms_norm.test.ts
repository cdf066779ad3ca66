import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {rmsNorm} from '../../ops/rms_norm/index.js';
import {describeOnBackends} from '../support/backends.js';
import {numericGradient} from '../support/numeric_gradient.js';
import {randomFloats} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

describeOnBackends('rmsNorm', () => {
  it('is x / sqrt(mean(x^2) + epsilon) * gain, for any rank and dim', () =>
    fc.assert(
      fc.asyncProperty(normCases, async ({shape, dim, spread, epsilon, seed}) => {
        const rows = shape.reduce((a, b) => a * b, 1);
        const [numbers, gains] = [randomFloats(seed, rows * dim, spread), randomFloats(seed + 1, dim)];
        const x = tf.tensor(numbers, [...shape, dim]);
        const gain = tf.tensor1d(gains);
        const expected = rmsNormOracle(numbers, gains, epsilon);
        for (const run of [
          rmsNorm,
          (...args: Parameters<typeof rmsNorm>) => withReference('RmsNorm', () => rmsNorm(...args)),
        ]) {
          const y = run(x, gain, epsilon);
          expect(y.shape).to.deep.equal(x.shape);
          await expectClose(y, expected, 2e-6);
          y.dispose();
        }
        tf.dispose([x, gain]);
      }),
      {numRuns: 60},
    ));

  it('stays finite on zeros, tiny, huge and constant rows', async () => {
    const rows = [0, 1e-30, 1e15, -3].flatMap(value => [value, value, value, value, value]);
    const y = tf.tidy(() => rmsNorm(tf.tensor2d(rows, [4, 5]), tf.ones([5]), 1e-6));
    await expectClose(
      y,
      [...Array(5).fill(0), ...Array(5).fill(1e-27), ...Array(5).fill(1), ...Array(5).fill(-1)],
      2e-6,
    );
    y.dispose();
  });

  it('has the gradient that differences give', async () => {
    const dim = 7;
    const [numbers, gains, weights] = [
      randomFloats(1, 3 * dim),
      randomFloats(2, dim),
      randomFloats(3, 3 * dim),
    ];
    const loss = (x: Float64Array, gain: Float64Array) =>
      rmsNormOracle(x, gain, 1e-2).reduce((sum, value, i) => sum + value * weights[i]!, 0);
    const [x64, gain64] = [Float64Array.from(numbers), Float64Array.from(gains)];
    const gradients = tf.tidy(() => {
      const f = (x: tf.Tensor, gain: tf.Tensor) =>
        tf.sum<tf.Scalar>(tf.mul(rmsNorm(x, gain, 1e-2), tf.tensor(weights, [1, 3, dim])));
      return tf.grads(f)([tf.tensor(numbers, [1, 3, dim]), tf.tensor1d(gains)]);
    });
    await expectClose(
      gradients[0]!,
      numericGradient(x => loss(x, gain64), x64),
      2e-5,
      'dx',
    );
    await expectClose(
      gradients[1]!,
      numericGradient(gain => loss(x64, gain), gain64),
      2e-5,
      'dGain',
    );
    tf.dispose(gradients);
  });

  it('leaks nothing, with its gradient', () =>
    expectNoLeak(() =>
      tf.tidy(() => tf.grads((x, gain) => tf.sum(rmsNorm(x, gain, 1e-5)))([tf.ones([2, 3]), tf.ones([3])])),
    ));

  it('refuses a gain that does not fit', () => {
    expect(() => rmsNorm(tf.ones([2, 3]), tf.ones([4]), 1e-5)).to.throw(
      InvalidArgumentError,
      /expected \[3\]/,
    );
    expect(() => rmsNorm(tf.ones([2, 3]), tf.ones([1, 3]), 1e-5)).to.throw(InvalidArgumentError);
  });
});

const normCases = fc.record({
  shape: fc.array(fc.integer({min: 1, max: 4}), {maxLength: 3}),
  dim: fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(63, 64, 65)),
  spread: fc.constantFrom(1e-3, 1, 1e4),
  epsilon: fc.constantFrom(1e-6, 1e-5, 0.1),
  seed: fc.integer(),
});

function rmsNormOracle(x: ArrayLike<number>, gain: ArrayLike<number>, epsilon: number): Float64Array {
  const dim = gain.length;
  const out = new Float64Array(x.length);
  for (let from = 0; from < x.length; from += dim) {
    let squares = 0;
    for (let i = 0; i < dim; i++) squares += x[from + i]! ** 2;
    for (let i = 0; i < dim; i++)
      out[from + i] = (x[from + i]! / Math.sqrt(squares / dim + epsilon)) * gain[i]!;
  }
  return out;
}
