import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {swigluLinear} from '../../ops/swiglu_linear/index.js';
import {weightFormats} from '../../ops/weights/formats.js';
import {describeOnBackends} from '../support/backends.js';
import {packedMatrix} from '../support/packed_matrix.js';
import {randomFloats} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

describeOnBackends('swigluLinear', () => {
  it('is silu(x W_gate + b) (x W_up + b) by its definition, and its kernel its reference', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({min: 0, max: 9}),
        fc.integer({min: 1, max: 40}),
        fc.integer({min: 1, max: 40}),
        fc.boolean(),
        fc.integer(),
        async (rows, inputs, outputs, hasBias, seed) => {
          const x = randomFloats(seed, rows * inputs);
          const [gate, up] = [1, 2].map(i => randomFloats(seed + i, inputs * outputs));
          const [gateBias, upBias] = [3, 4].map(i =>
            hasBias ? randomFloats(seed + i, outputs) : new Float32Array(outputs),
          );
          const run = () =>
            tf.tidy(() =>
              swigluLinear(
                tf.tensor3d(x, [1, rows, inputs]),
                tf.tensor2d(gate!, [inputs, outputs]),
                tf.tensor2d(up!, [inputs, outputs]),
                hasBias ? {gateBias: tf.tensor1d(gateBias!), upBias: tf.tensor1d(upBias!)} : {},
              ),
            );
          const expected = Float64Array.from({length: rows * outputs}, (_, at) => {
            const [row, out] = [Math.floor(at / outputs), at % outputs];
            let [g, u] = [gateBias![out]!, upBias![out]!];
            for (let i = 0; i < inputs; i++) {
              g += x[row * inputs + i]! * gate![i * outputs + out]!;
              u += x[row * inputs + i]! * up![i * outputs + out]!;
            }
            return (g * u) / (1 + Math.exp(-g));
          });
          const [result, reference] = [run(), withReference('SwigluLinear', run)];
          expect(result.shape).to.deep.equal([1, rows, outputs]);
          await expectClose(result, expected, 1e-5);
          await expectClose(reference, result, 1e-5);
          tf.dispose([result, reference]);
        },
      ),
      {numRuns: 30},
    ));

  for (const format of weightFormats) {
    if (format === 'float32') continue;
    it(`takes a gate in ${format}, beside float32`, async () => {
      const x = tf.randomNormal([3, 40], 0, 1, 'float32', 1);
      const up = tf.randomNormal<tf.Rank.R2>([40, 9], 0, 1, 'float32', 2);
      const {matrix, values} = packedMatrix(format, 40, 9, 3);
      const unpacked = tf.tensor2d(values, [40, 9]);
      const [result, expected] = [swigluLinear(x, matrix, up), swigluLinear(x, unpacked, up)];
      await expectClose(result, expected, 2e-3); // x is rounded to integers of 16 bits
      tf.dispose([x, up, matrix.records, unpacked, result, expected]);
    });
  }

  it('has the gradients of its definition', async () => {
    const tensors = [[2, 3, 4], [4, 5], [4, 5], [5], [5]].map((shape, i) =>
      tf.randomNormal(shape, 0, 1, 'float32', i),
    );
    const own = tf.grads((x, gate, up, gateBias, upBias) =>
      tf.sum(tf.square(swigluLinear(x, gate, up, {gateBias, upBias}))),
    )(tensors);
    const plain = tf.grads((x, gate, up, gateBias, upBias) => {
      const rows = tf.reshape<tf.Rank.R2>(x, [6, 4]);
      const gated = tf.add(tf.matMul(rows, gate as tf.Tensor2D), gateBias);
      const upper = tf.add(tf.matMul(rows, up as tf.Tensor2D), upBias);
      return tf.sum(tf.square(tf.mul(tf.mul(gated, tf.sigmoid(gated)), upper)));
    })(tensors);
    for (const [i, gradient] of own.entries()) await expectClose(gradient, plain[i]!, 1e-4);
    tf.dispose([tensors, own, plain]);
  });

  it('leaks nothing, with its gradient', async () => {
    const [x, w] = [tf.ones([2, 3]), tf.ones<tf.Rank.R2>([3, 4])];
    await expectNoLeak(() => swigluLinear(x, w, w));
    await expectNoLeak(() => tf.grads((a, gate, up) => swigluLinear(a, gate, up))([x, w, w]));
    tf.dispose([x, w]);
  });

  it('says what does not fit', () => {
    const [x, w] = [tf.ones([2, 3]), tf.ones([3, 4])];
    expect(() => swigluLinear(x, w, tf.ones([3, 5]))).to.throw(
      InvalidArgumentError,
      '4 outputs and up has 5',
    );
    expect(() => swigluLinear(x, w, tf.ones([4, 4]))).to.throw(InvalidArgumentError, '[4, 4]');
    expect(() => swigluLinear(x, w, w, {upBias: x})).to.throw(InvalidArgumentError, 'bias');
  });
});
