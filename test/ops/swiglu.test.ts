import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {swiglu} from '../../ops/swiglu/index.js';
import {describeOnBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

describeOnBackends('swiglu', () => {
  it('is silu(gate) up by its definition, and its kernel its reference', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({min: 0, max: 40}),
        fc.constantFrom(0.1, 1, 10, 100),
        fc.integer(),
        async (size, spread, seed) => {
          const [gates, ups] = [randomFloats(seed, size, spread), randomFloats(seed + 1, size)];
          const [gate, up] = [tf.tensor1d(gates), tf.tensor1d(ups)];
          const result = swiglu(gate, up);
          const reference = withReference('Swiglu', () => swiglu(gate, up));
          const [numbers, plain] = await Promise.all([result.data(), reference.data()]);
          for (let i = 0; i < size; i++) {
            const expected = (gates[i]! * ups[i]!) / (1 + Math.exp(-gates[i]!));
            const allowed = 2 ** -21 * Math.abs(gates[i]! * ups[i]!);
            expect(numbers[i]).to.be.closeTo(expected, allowed);
            expect(plain[i]).to.be.closeTo(expected, allowed);
          }
          tf.dispose([gate, up, result, reference]);
        },
      ),
      {numRuns: 40},
    ));

  it('keeps infinities and NaN', async () => {
    const gate = tf.tensor1d([-Infinity, Infinity, NaN, -1e30, 1e30]);
    const up = tf.ones([5]);
    const result = swiglu(gate, up);
    const numbers = [...(await result.data())];
    expect(numbers[1]).to.equal(Infinity);
    expect(numbers[2]).to.be.NaN;
    expect(numbers[3]).to.be.closeTo(0, 1e-7);
    expect(numbers[4]! / 1e30).to.be.closeTo(1, 1e-6);
    tf.dispose([gate, up, result]);
  });

  it('has the gradients of its definition', async () => {
    const [gate, up, dy] = [1, 2, 3].map(seed => tf.randomNormal([2, 3, 5], 0, 2, 'float32', seed));
    const own = tf.grads((a, b) => tf.sum(tf.mul(swiglu(a, b), dy!)))([gate!, up!]);
    const plain = tf.grads((a, b) => tf.sum(tf.mul(tf.mul(tf.mul(a, tf.sigmoid(a)), b), dy!)))([gate!, up!]);
    for (const [i, gradient] of own.entries()) await expectClose(gradient, plain[i]!, 1e-5);
    tf.dispose([gate!, up!, dy!, ...own, ...plain]);
  });

  it('leaks nothing, with its gradient', async () => {
    const x = tf.ones([2, 3]);
    await expectNoLeak(() => swiglu(x, x));
    await expectNoLeak(() => tf.grads((a, b) => swiglu(a, b))([x, x]));
  });

  it('says what does not fit', () => {
    expect(() => swiglu(tf.ones([2, 3]), tf.ones([3, 2]))).to.throw(
      InvalidArgumentError,
      /\[2, 3\].*\[3, 2\]/,
    );
  });
});
