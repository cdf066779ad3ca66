import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {svd, svdAsync, type Svd} from '../../../ops/linalg/svd.js';
import {describeOnBackends} from '../../support/backends.js';
import {readGolden, type GoldenArray} from '../../support/golden.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

interface SvdGolden {
  readonly svd: {readonly name: string; readonly x: GoldenArray; readonly s: GoldenArray}[];
}

const golden = readGolden('linalg/linalg.json') as SvdGolden;

describeOnBackends('svd', backend => {
  for (const {name, x, s} of golden.svd) {
    it(`gives the golden singular values, and factors that multiply to the matrix: ${name}`, async () => {
      const [rows, columns] = x.shape as [number, number];
      const size = Math.max(...s.data) || 1;
      const input = tf.tensor3d(x.data, [1, rows, columns]);
      const found = await svdAsync(input);
      expect(found.s.shape).to.deep.equal([1, s.data.length]);
      const values = await found.s.data();
      for (const [i, value] of s.data.entries()) {
        // below 3e-4 of the largest, a singular value is noise of that size, as documented
        const tolerance = value / size > 0.01 ? 2e-6 : 3e-4;
        expect(values[i]! / size, `singular value ${i}`).to.be.closeTo(value / size, tolerance);
      }
      const product = tf.tidy(() => productOf(found).div(size));
      await expectClose(
        product,
        x.data.map(value => value / size),
        1e-6,
      );
      tf.dispose([input, product, ...Object.values(found)]);
    });
  }

  it('has orthonormal factors on both sides where the spectrum does not fall too far', async () => {
    for (const shape of [
      [2, 9, 4],
      [2, 4, 9],
    ] as const) {
      const x = tf.randomNormal<tf.Rank.R3>([...shape], 0, 1, 'float32', 5);
      const found = await svdAsync(x);
      const left = tf.matMul(found.u, found.u, true);
      const right = tf.matMul(found.vt, found.vt, false, true);
      const identity = tf.tidy(() => tf.tile(tf.eye(4).expandDims<tf.Tensor3D>(0), [2, 1, 1]));
      await expectClose(left, identity, 1e-5);
      await expectClose(right, identity, 1e-5);
      tf.dispose([x, left, right, identity, ...Object.values(found)]);
    }
  });

  it('leaks nothing', async () => {
    const x = tf.randomNormal<tf.Rank.R3>([2, 5, 3]);
    await expectNoLeak(() => svdAsync(x));
    if (backend !== 'webgpu') await expectNoLeak(() => svd(x));
    x.dispose();
  });
});

function productOf({u, s, vt}: Svd): tf.Tensor3D {
  return tf.matMul(tf.mul(u, tf.expandDims(s, 1)), vt);
}
