import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {linear} from '../../ops/linear/index.js';
import {describeOnBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

const cases = fc.record({
  leading: fc.array(fc.integer({min: 1, max: 4}), {minLength: 0, maxLength: 3}),
  inputs: fc.integer({min: 1, max: 40}),
  outputs: fc.integer({min: 1, max: 40}),
  hasBias: fc.boolean(),
  seed: fc.integer(),
});

describeOnBackends('linear', () => {
  it('is x W + b by its definition, and its kernel its reference', () =>
    fc.assert(
      fc.asyncProperty(cases, async ({leading, inputs, outputs, hasBias, seed}) => {
        const rows = leading.reduce((product, length) => product * length, 1);
        const [numbers, weights, biases] = [rows * inputs, inputs * outputs, outputs].map((size, i) =>
          randomFloats(seed + i, size),
        );
        const x = tf.tensor(numbers!, [...leading, inputs]);
        const kernel = tf.tensor2d(weights!, [inputs, outputs]);
        const bias = hasBias ? tf.tensor1d(biases!) : undefined;
        const expected = Float64Array.from({length: rows * outputs}, (_, at) => {
          const [row, out] = [Math.floor(at / outputs), at % outputs];
          let sum = hasBias ? biases![out]! : 0;
          for (let i = 0; i < inputs; i++) sum += numbers![row * inputs + i]! * weights![i * outputs + out]!;
          return sum;
        });
        const result = linear(x, kernel, {bias});
        const reference = withReference('Linear', () => linear(x, kernel, {bias}));
        expect(result.shape).to.deep.equal([...leading, outputs]);
        await expectClose(result, expected, 1e-5);
        await expectClose(reference, result, 1e-5);
        tf.dispose([x, kernel, result, reference, ...(bias ? [bias] : [])]);
      }),
      {numRuns: 40},
    ));

  it('takes numbers in any shape, and gives them in one that is asked for', async () => {
    const x = tf.randomNormal([2, 3, 1, 4]); // heads of one token
    const kernel = tf.randomNormal<tf.Rank.R2>([12, 10]);
    const bias = tf.randomNormal([10]);
    const plain = linear(tf.reshape(x, [2, 12]), kernel, {bias});
    const shaped = linear(x, kernel, {bias, shape: [2, 5, 1, 2]});
    expect(shaped.shape).to.deep.equal([2, 5, 1, 2]);
    await expectClose(await shaped.data(), await plain.data(), 0);
    tf.dispose([x, kernel, bias, plain, shaped]);
  });

  it('has the gradients dy W^T, x^T dy and the sum of dy', async () => {
    const [x, kernel, bias] = [[2, 3, 1, 4], [12, 10], [10]].map(shape => tf.randomNormal(shape));
    const dy = tf.randomNormal([2, 5, 1, 2]);
    const own = (...[a, w, b]: tf.Tensor[]) =>
      tf.sum(tf.mul(linear(a!, w!, {bias: b, shape: [2, 5, 1, 2]}), dy));
    const plain = (...[a, w, b]: tf.Tensor[]) =>
      tf.sum(
        tf.mul(
          tf.reshape(tf.add(tf.matMul(tf.reshape(a!, [2, 12]), w as tf.Tensor2D), b!), [2, 5, 1, 2]),
          dy,
        ),
      );
    const gradients = tf.grads(own)([x!, kernel!, bias!]);
    const expected = tf.grads(plain)([x!, kernel!, bias!]);
    for (const [i, gradient] of gradients.entries()) await expectClose(gradient, expected[i]!, 1e-5);
    tf.dispose([x!, kernel!, bias!, dy, ...gradients, ...expected]);
  });

  it('gives no numbers for no rows', () => {
    expect(linear(tf.zeros([0, 3]), tf.ones([3, 2])).shape).to.deep.equal([0, 2]);
  });

  it('leaks nothing, with its gradient', async () => {
    const [x, kernel, bias] = [tf.ones([2, 3]), tf.ones([3, 2]), tf.ones([2])];
    await expectNoLeak(() => linear(x, kernel));
    await expectNoLeak(() => tf.tidy(() => linear(x, kernel, {bias})));
    await expectNoLeak(() => tf.grads((a, w) => linear(a, w, {bias}))([x, kernel]));
  });

  it('says what does not fit', () => {
    expect(() => linear(tf.ones([2, 4]), tf.ones([3, 5]))).to.throw(InvalidArgumentError, '[2, 4]');
    expect(() => linear(tf.ones([2, 3]), tf.ones([3]))).to.throw(InvalidArgumentError, '[in, out]');
  });
});
