import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {hadamard} from '../../ops/hadamard/index.js';
import {describeOnBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

const cases = fc.record({
  rows: fc.integer({min: 1, max: 7}),
  dim: fc.oneof(
    fc.integer({min: 1, max: 24}).map(half => 2 * half),
    fc.constantFrom(64, 96, 128, 256),
  ),
  seed: fc.integer(),
});

describeOnBackends('hadamard', () => {
  it('is the matrix of four channels, over two', async () => {
    const rows = tf.tidy(() => hadamard(tf.eye(4)));
    await expectClose(
      rows,
      [1, 1, 1, 1, 1, -1, 1, -1, 1, 1, -1, -1, 1, -1, -1, 1].map(sign => sign / 2),
      0,
    );
    rows.dispose();
  });

  it('transforms runs independently if dim is not a power of two', async () => {
    const half = Math.SQRT1_2;
    const rows = tf.tidy(() => hadamard(tf.tensor1d([1, 2, 3, 5, 7, 11])));
    await expectClose(
      rows,
      [3, -1, 8, -2, 18, -4].map(x => x * half),
      1e-6,
    );
    rows.dispose();
  });

  it('keeps lengths, is its own inverse, and its kernel is its reference', () =>
    fc.assert(
      fc.asyncProperty(cases, async ({rows, dim, seed}) => {
        const x = tf.tensor4d(randomFloats(seed, rows * dim), [1, 1, rows, dim]);
        const y = hadamard(x);
        const plain = withReference('Hadamard', () => hadamard(x));
        const back = hadamard(y);
        expect(y.shape).to.deep.equal(x.shape);
        await expectClose(y, plain, 5e-6);
        await expectClose(back, x, 5e-6);
        const [before, after] = tf.tidy(() => [tf.norm(x, 2, 3), tf.norm(y, 2, 3)] as [tf.Tensor, tf.Tensor]);
        await expectClose(after, before, 5e-6);
        tf.dispose([x, y, plain, back, before, after]);
      }),
      {numRuns: 40},
    ));

  it('spreads an outlier over all channels', async () => {
    const y = tf.tidy(() => hadamard(tf.oneHot(tf.tensor1d([37], 'int32'), 64).cast('float32')));
    await expectClose(
      tf.tidy(() => tf.abs(y)),
      new Float32Array(64).fill(1 / 8),
      1e-7,
    );
    y.dispose();
  });

  it('has itself as gradient', async () => {
    const [x, dy] = [tf.randomNormal([3, 12]), tf.randomNormal([3, 12])];
    const gradient = tf.tidy(() => tf.grad(a => tf.sum(tf.mul(hadamard(a), dy)))(x));
    const expected = hadamard(dy);
    await expectClose(gradient, expected, 1e-6);
    tf.dispose([x, dy, gradient, expected]);
  });

  it('leaks nothing', async () => {
    const x = tf.ones([3, 12]);
    await expectNoLeak(() => hadamard(x));
    x.dispose();
  });

  it('refuses an odd number of channels', () => {
    expect(() => hadamard(tf.ones([2, 7]))).to.throw(InvalidArgumentError, '[2, 7]');
    expect(() => hadamard(tf.scalar(1))).to.throw(InvalidArgumentError);
  });
});
