import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../../base/errors.js';
import {type Svd, svd, svdOp} from '../../../ops/linalg/svd/index.js';
import {hasKernel} from '../../../ops/run_op.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {
  type DecompositionErrors,
  decompositionErrors,
  randomOfRank,
  roundingOn,
} from '../../support/decomposition_errors.js';
import {extremes} from '../../support/extremes.js';
import {type GoldenArray, goldenTensor, readGolden} from '../../support/golden.js';
import {randomFloats} from '../../support/random.js';
import {withReference} from '../../support/reference.js';
import {type SpectralMatrix, spectralMatrix} from '../../support/spectral_matrix.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

interface SvdGolden {
  readonly singular: (SpectralMatrix & {readonly sum: number; readonly values: readonly number[]})[];
  readonly whole: {readonly name: string; readonly [part: string]: GoldenArray | string}[];
}

const golden = readGolden('linalg/decompositions.json') as SvdGolden;

describeOnBackends('svd', backend => {
  const rounding = (tight: number, length: number) => roundingOn(backend, tight, length);
  it('runs by a kernel on every backend that has them', () => {
    expect(hasKernel(svdOp.name)).to.equal(['tensorflow', 'wasm', 'webgpu'].includes(backend));
  });

  for (const of of golden.singular) {
    const {rows, columns, kind, decades, scale, sum, values} = of;
    it(`gives NumPy's singular values: [${rows}, ${columns}], ${kind} of ${decades} decades from ${scale}`, async () => {
      const numbers = spectralMatrix(of);
      // the matrix is the one that NumPy decomposed
      expect(numbers.reduce((total, x) => total + Math.abs(x), 0) / sum).to.be.closeTo(1, 1e-6);
      const x = tf.tensor2d(numbers, [rows, columns]);
      const triplets = svd(x);
      const errors = decompositionErrors(numbers, await numbersOf(triplets), values);
      const length = Math.max(rows, columns);
      expect(errors.values).to.be.below(rounding(6e-8, length)); // half a unit in the last place of the largest
      const flushed = backend === 'webgpu' ? 2 ** -126 / values[0]! : 0; // GPUs take denormal numbers for zeros
      expect(errors.residual).to.be.below(rounding(2e-7, 2 * length) + flushed);
      expect(errors.orthogonality).to.be.below(rounding(3e-7, 2 * length));
      tf.dispose([x, triplets.u, triplets.s, triplets.vt]);
    });
  }

  for (const {name, x, u, s, vt} of golden.whole) {
    it(`gives NumPy's vectors, with any leading axes: ${name}`, async () => {
      const input = goldenTensor(x as GoldenArray);
      const found = svd<tf.Tensor>(input);
      for (const [part, expected] of Object.entries({u, s, vt}) as [keyof Svd, GoldenArray][]) {
        expect(found[part].shape).to.deep.equal(expected.shape);
        await expectClose(found[part], expected.data, rounding(3e-7, 16), part);
      }
      tf.dispose([input, found.u, found.s, found.vt]);
    });
  }

  it('decomposes matrices of any size, rank and scale, each of a stack for itself', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.integer({min: 1, max: 20}),
          columns: fc.integer({min: 1, max: 20}),
          rank: fc.integer({min: 0, max: 20}),
          exponent: fc.integer({min: -30, max: 30}),
          seed: fc.nat(),
        }),
        async ({rows, columns, rank, exponent, seed}) => {
          const matrices = [0, 7].map(more =>
            randomOfRank(seed + more, rows, columns, Math.min(rank, rows, columns), 10 ** exponent),
          );
          const x = tf.stack(matrices.map(numbers => tf.tensor2d(numbers, [rows, columns]))) as tf.Tensor3D;
          const triplets = svd(x);
          for (const [i, numbers] of matrices.entries()) {
            const one = tf.tidy(() => ({
              u: tf.gather(triplets.u, i),
              s: tf.gather(triplets.s, i),
              vt: tf.gather(triplets.vt, i),
            }));
            const found = await numbersOf(one);
            expect([...found.s]).to.deep.equal([...found.s].sort((a, b) => b - a));
            expectSmall(decompositionErrors(numbers, found), backend);
            expectLeadingPositive(found.vt, found.s.length);
          }
        },
      ),
      {numRuns: 40},
    ));

  for (const [name, make] of Object.entries(extremes)) {
    if (name === 'denormal numbers' && backend.startsWith('webg')) continue; // GPUs take them for zeros
    it(`decomposes ${name}`, async () => {
      for (const [rows, columns] of [
        [9, 12],
        [12, 9],
      ] as const) {
        const numbers = randomFloats(3, rows * columns).map((random, at) =>
          make(Math.floor(at / columns), at % columns, random),
        );
        const triplets = await numbersOf(svd(tf.tensor2d(numbers, [rows, columns])));
        expectSmall(decompositionErrors(numbers, triplets), backend, triplets.s[0]);
      }
    });
  }

  it('decomposes more than a program of webgpu takes at once', async () => {
    const numbers = randomOfRank(4, 258, 270, 200, 1);
    expectSmall(
      decompositionErrors(numbers, await numbersOf(svd(tf.tensor2d(numbers, [258, 270])))),
      backend,
    );
  });

  it('gives orthonormal vectors where singular values are equal or zero', async () => {
    const small = tf.eye(3);
    for (const x of [
      tf.zeros<tf.Rank.R2>([4, 6]),
      tf.ones<tf.Rank.R2>([7, 5]),
      tf.eye(6),
      tf.concat([small, small]),
    ]) {
      const numbers = await x.data<'float32'>();
      expectSmall(decompositionErrors(numbers, await numbersOf(svd(x))), backend);
    }
  });

  it('keeps small singular values of graded diagonals', async () => {
    const diagonal = [1, 1e-10, 1e-20, 1e-30];
    const {s} = svd(tf.diag(tf.tensor1d(diagonal)));
    (await s.data()).forEach((value, i) => expect(value / diagonal[i]!).to.be.closeTo(1, 1e-6));
  });

  it('with a rank gives the first triplets', async () => {
    const x = tf.tensor3d(randomFloats(2, 60), [2, 6, 5]);
    const [all, first] = [svd(x), svd(x, {rank: 2})];
    await expectClose(first.u, tf.slice(all.u, [0, 0, 0], [2, 6, 2]), 0);
    await expectClose(first.s, tf.slice(all.s, [0, 0], [2, 2]), 0);
    await expectClose(first.vt, tf.slice(all.vt, [0, 0, 0], [2, 2, 5]), 0);
  });

  it('gives NaN for a matrix that is not finite, and decomposes the others of the stack', async () => {
    for (const bad of [NaN, Infinity, -Infinity]) {
      const {u, s, vt} = svd(tf.tensor3d([2, 0, 0, 1, 1, bad, 0, 1, 5, 0, 0, 4], [3, 2, 2]));
      const [identity, nans] = [
        [1, 0, 0, 1],
        [NaN, NaN, NaN, NaN],
      ] as const;
      expect([...(await s.data())]).to.deep.equal([2, 1, NaN, NaN, 5, 4]);
      expect(Array.from(await u.data(), Math.abs)).to.deep.equal([...identity, ...nans, ...identity]);
      expect(Array.from(await vt.data(), Math.abs)).to.deep.equal([...identity, ...nans, ...identity]);
    }
  });

  it('leaks nothing, and leaves its input alone', async () => {
    const x = tf.tensor3d(randomFloats(2, 60), [2, 6, 5]);
    await expectNoLeak(() => svd(x, {rank: 3}));
    expect(x.isDisposed).to.equal(false);
  });

  it('says what it does not take', () => {
    for (const x of [
      tf.ones([3]),
      tf.ones([3, 3], 'int32'),
      tf.ones([2, 0, 3]),
      tf.ones([2, 3, 0]),
      tf.ones([0, 3, 3]),
    ]) {
      expect(() => svd(x)).to.throw(InvalidArgumentError, `svd got ${x.dtype} [${x.shape.join(', ')}]`);
    }
    for (const rank of [0, 1.5, NaN, -1, 4]) {
      expect(() => svd(tf.ones([3, 5]), {rank})).to.throw(InvalidArgumentError, `rank = ${rank}`);
    }
    expect(() => svd(tf.ones([3, 5]), {ranks: 2} as object)).to.throw(
      InvalidArgumentError,
      'no option "ranks"',
    );
  });
});

describeOnBackends(
  'svd by its kernel',
  () => {
    it('equals its reference, signs included', () =>
      fc.assert(
        fc.asyncProperty(
          fc.integer({min: 1, max: 12}),
          fc.integer({min: 1, max: 12}),
          fc.nat(),
          async (rows, columns, seed) => {
            // singular values near 3, 6, 9 ...: vectors are well defined
            const noise = randomFloats(seed, rows * columns, 0.02);
            const x = tf.tensor2d(
              noise.map(
                (random, at) => random + (at % (columns + 1) === 0 ? 3 * (1 + at / (columns + 1)) : 0),
              ),
              [rows, columns],
            );
            const [actual, expected] = [svd(x), withReference(svdOp.name, () => svd(x))];
            for (const part of ['u', 's', 'vt'] as const)
              await expectClose(actual[part], expected[part], 2e-6, part);
          },
        ),
        {numRuns: 30},
      ));
  },
  testBackends.filter(backend => backend === 'wasm' || backend === 'tensorflow'),
);

async function numbersOf({u, s, vt}: {u: tf.Tensor; s: tf.Tensor; vt: tf.Tensor}) {
  const [a, b, c] = await Promise.all([u.data<'float32'>(), s.data<'float32'>(), vt.data<'float32'>()]);
  return {u: a, s: b, vt: c};
}

/** @param largest the largest singular value: float32 rounds it to multiples of 2^-149. */
function expectSmall({residual, orthogonality}: DecompositionErrors, backend: string, largest = 1): void {
  const tolerance = roundingOn(backend, 3e-7, 32);
  expect(residual, 'residual').to.be.at.most(tolerance + 2 ** -149 / Math.max(largest, 2 ** -149));
  expect(orthogonality, 'orthogonality').to.be.below(tolerance);
}

function expectLeadingPositive(vt: Float32Array, count: number): void {
  const columns = vt.length / count;
  for (let i = 0; i < count; i++) {
    const row = vt.subarray(i * columns, (i + 1) * columns);
    const largest = Math.max(...row.map(Math.abs));
    expect(row.find(value => Math.abs(value) >= largest * 0.99999)).to.be.above(0);
  }
}
