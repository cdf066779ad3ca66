import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {svd64} from '../../../ops/linalg/float64.js';
import {rangeFinder} from '../../../ops/linalg/range_finder.js';
import {describeOnBackends} from '../../support/backends.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

describeOnBackends(
  'rangeFinder',
  () => {
    it('comes within 2 % of the best error of its rank, in each matrix of a stack', async () => {
      const [rows, columns, rank] = [24, 16, 4];
      const numbers = [0, 1].map(seed => decaying(seed, rows, columns, 0.8));
      const x = tf.tensor3d(Float32Array.from(numbers.flatMap(one => [...one])), [2, rows, columns]);
      const basis = rangeFinder(x, rank, {seed: 3});
      expect(basis.shape).to.deep.equal([2, rows, rank]);
      const errors = await errorOf(x, basis);
      for (const [i, one] of numbers.entries()) {
        const tail = svd64(one, rows, columns).s.slice(rank);
        const best = Math.sqrt(tail.reduce((sum, s) => sum + s * s, 0));
        expect(errors[i]!).to.be.within(best * 0.9999, best * 1.02);
      }
      tf.dispose([x, basis]);
    });

    it('gets better with power iterations and with oversampling', async () => {
      const x = tf.tensor3d(decaying(9, 40, 40, 0.97), [1, 40, 40]);
      const error = async (powerIterations: number, oversample: number) => {
        const basis = rangeFinder(x, 5, {powerIterations, oversample, seed: 1});
        const [value] = await errorOf(x, basis);
        basis.dispose();
        return value!;
      };
      expect(await error(3, 0)).to.be.below((await error(0, 0)) * 0.95);
      expect(await error(0, 20)).to.be.below((await error(0, 0)) * 0.95);
      x.dispose();
    });

    it('has orthonormal columns, also of zeros, of less than full rank, and of huge and tiny numbers', async () => {
      const low = tf.tidy(() =>
        tf.matMul(tf.randomNormal<tf.Rank.R3>([1, 8, 2]), tf.randomNormal([1, 2, 6])),
      );
      const inputs: tf.Tensor3D[] = [
        tf.zeros([1, 8, 6]),
        low as tf.Tensor3D,
        tf.mul(low, 1e30),
        tf.mul(low, 1e-30),
      ];
      for (const x of inputs) {
        const basis = rangeFinder(x, 4);
        const overlaps = tf.matMul(basis, basis, true);
        await expectClose(overlaps, await tf.eye(4).data(), 1e-5);
        tf.dispose([basis, overlaps]);
      }
      tf.dispose(inputs);
    });

    it('is the same for the same seed and another for another', async () => {
      const x = tf.tensor3d(randomFloats(2, 60), [1, 10, 6]);
      const [a, b, c] = [4, 4, 5].map(seed => rangeFinder(x, 2, {seed, powerIterations: 0, oversample: 0}));
      await expectClose(a!, b!, 0);
      const difference = tf.tidy(() => tf.max(tf.abs(tf.sub(a!, c!))));
      expect((await difference.data())[0]).to.be.above(1e-3);
      tf.dispose([x, a!, b!, c!, difference]);
    });

    it('leaks nothing', async () => {
      const x = tf.randomNormal<tf.Rank.R3>([2, 6, 5]);
      await expectNoLeak(() => rangeFinder(x, 2));
      x.dispose();
    });

    it('says what it does not take', () => {
      const x = tf.ones<tf.Rank.R3>([1, 5, 3]);
      for (const rank of [0, 4, 1.5, NaN]) {
        expect(() => rangeFinder(x, rank)).to.throw(InvalidArgumentError, `rank = ${rank}`);
      }
      expect(() => rangeFinder(x, 1, {oversample: -1})).to.throw(InvalidArgumentError, 'oversample = -1');
      expect(() => rangeFinder(x, 1, {powerIterations: 0.5})).to.throw(
        InvalidArgumentError,
        'powerIterations',
      );
      x.dispose();
    });
  },
  ['cpu', 'wasm'], // it decomposes at once, which webgpu cannot
);

/** ||x - Q Q^T x||_F of each matrix. */
async function errorOf(x: tf.Tensor3D, basis: tf.Tensor3D): Promise<Float32Array> {
  const errors = tf.tidy(() => {
    const rest = tf.sub(x, tf.matMul(basis, tf.matMul(basis, x, true)));
    return tf.sqrt(tf.sum(tf.square(rest), [1, 2]));
  });
  const numbers = await errors.data<'float32'>();
  errors.dispose();
  return numbers;
}

/** Random numbers whose column j is scaled by decay^j. */
function decaying(seed: number, rows: number, columns: number, decay: number): Float32Array {
  return randomFloats(seed, rows * columns).map((value, at) => value * decay ** (at % columns));
}
