import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {eighAsync} from '../../../ops/linalg/eigh/index.js';
import {updateSvd, type SvdUpdate} from '../../../ops/linalg/update_svd.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {roundingOn} from '../../support/decomposition_errors.js';
import {extremes, type MakeNumber} from '../../support/extremes.js';
import {randomFloats} from '../../support/random.js';

// Decompositions of numbers that break naive arithmetic, checked by their definitions in float64. Errors are counted relative
// to the largest number.

const [rows, columns] = [9, 12];
const matrixOf = (make: MakeNumber): Float32Array =>
  randomFloats(3, rows * columns).map((random, i) => make(Math.floor(i / columns), i % columns, random));
const sizeOf = (numbers: Float32Array): number => Math.max(...numbers.map(Math.abs), 1e-45);

describeOnBackends('decompositions at the extremes', backend => {
  for (const [name, make] of Object.entries(extremes)) {
    if (name === 'denormal numbers' && backend.startsWith('webg')) continue; // GPUs take them for zeros

    it(`eigh: ${name}`, async () => {
      const random = randomFloats(5, columns * columns);
      const x = random.map((_, at) => {
        const [i, j] = [Math.floor(at / columns), at % columns];
        const [low, high] = [Math.min(i, j), Math.max(i, j)];
        return make(low, high, random[low * columns + high]!);
      });
      const {values, vectors} = await eighAsync(tf.tensor3d(x, [1, columns, columns]));
      const [found, v] = [await values.data(), await vectors.data<'float32'>()];
      const size = sizeOf(x) * columns;
      const tolerance = roundingOn(backend, 3e-7, columns);
      for (let i = 0; i < columns; i++) {
        if (i > 0) expect(found[i]!).to.be.at.most(found[i - 1]!);
        for (let j = 0; j < columns; j++) {
          const product = dot(x, j * columns, v, i * columns, columns);
          expect(product / size).to.be.closeTo((found[i]! / size) * v[i * columns + j]!, tolerance);
        }
      }
      expectOrthonormal(v, columns, columns, tolerance);
      tf.dispose([values, vectors]);
    });
  }
});

describeOnBackends(
  'updates of an SVD at the extremes',
  backend => {
    for (const [name, make] of Object.entries(extremes)) {
      if (name === 'denormal numbers' && backend === 'tensorflow') continue; // its products take them for zeros
      it(`updateSvd: ${name}`, () => {
        const x = matrixOf(make);
        const size = sizeOf(x);
        tf.tidy(() => {
          const block = tf.tensor3d(x, [1, rows, columns]);
          if (size > 1e18) {
            expect(() => updateSvd(undefined, block, columns)).to.throw(
              InvalidArgumentError,
              /leave float32/,
            );
            return;
          }
          const first = updateSvd(undefined, block, columns);
          expectFolded(updateSvd(first, block, columns), x, size);
        });
      });
    }
  },
  testBackends.filter(backend => !backend.startsWith('webg')),
);

/** The newest coefficients times the basis are the block itself, if the rank is that of the head. */
function expectFolded({basis, coefficients}: SvdUpdate, block: Float32Array, size: number): void {
  const [b, c] = [basis.dataSync<'float32'>(), coefficients.dataSync<'float32'>()];
  const rank = basis.shape[1];
  expectOrthonormal(b, rank, columns, 3e-6);
  for (let at = 0; at < block.length; at++) {
    const [i, j] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += c[i * rank + k]! * b[k * columns + j]!;
    expect(sum / size).to.be.closeTo(block[at]! / size, 2e-6 * Math.sqrt(columns));
  }
}

function expectOrthonormal(v: Float32Array, count: number, length: number, tolerance: number): void {
  for (let i = 0; i < count; i++) {
    for (let j = 0; j <= i; j++) {
      const overlap = dot(v, i * length, v, j * length, length);
      expect(overlap, `overlap of ${i} and ${j}`).to.be.closeTo(i === j ? 1 : 0, tolerance);
    }
  }
}

function dot(a: Float32Array, from: number, b: Float32Array, fromB: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[from + i]! * b[fromB + i]!;
  return sum;
}
