import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../../base/errors.js';
import {eigh, eighAsync, eighOp, type Eigen} from '../../../ops/linalg/eigh/index.js';
import {hasKernel} from '../../../ops/run_op.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {decompositionErrors, roundingOn} from '../../support/decomposition_errors.js';
import {readGolden, type GoldenArray} from '../../support/golden.js';
import {randomFloats} from '../../support/random.js';
import {withReference} from '../../support/reference.js';
import {type SpectralMatrix, spectralMatrix} from '../../support/spectral_matrix.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

interface EigenGolden {
  readonly eigen: {
    readonly name: string;
    readonly x: GoldenArray;
    readonly values: GoldenArray;
    readonly vectors: GoldenArray;
    /** The vectors whose eigenvalue lies 1 % of the largest or more from all others. */
    readonly simple: number[];
  }[];
}

const golden = readGolden('linalg/linalg.json') as EigenGolden;
const spectra = readGolden('linalg/decompositions.json') as {
  readonly eigen: (SpectralMatrix & {readonly sum: number; readonly values: readonly number[]})[];
};

describeOnBackends('eigh', backend => {
  const rounding = (tight: number, length: number) => roundingOn(backend, tight, length);

  it('runs by a kernel on every backend that has them', () => {
    expect(hasKernel(eighOp.name)).to.equal(['tensorflow', 'wasm', 'webgpu'].includes(backend));
  });

  for (const {name, x, values, vectors, simple} of golden.eigen) {
    it(`gives the golden eigenvalues and vectors: ${name}`, async () => {
      const dim = x.shape[0]!;
      const input = tf.tensor3d(x.data, [1, dim, dim]);
      const eigen = await eighAsync(input);
      const found = await numbersOf(eigen);
      const size = Math.max(...values.data.map(Math.abs), Number.MIN_VALUE);
      for (let i = 0; i < dim; i++) {
        expect(found.values[i]! / size, `value ${i}`).to.be.closeTo(
          values.data[i]! / size,
          rounding(1e-7, dim),
        );
      }
      for (const i of simple) {
        // float32 rounding of the result only: the input is exact, and the gap at least 1e-2
        await expectClose(
          found.vectors.subarray(i * dim, (i + 1) * dim),
          row(vectors.data, i, dim),
          // the error of a vector is that of the matrix by the gap
          backend === 'webgpu' ? 100 * rounding(2e-7, dim) : 2e-7,
          `vector ${i}`,
        );
      }
      expectDecomposition(Float32Array.from(x.data), found, dim, rounding(3e-7, 2 * dim));
      tf.dispose([input, eigen.values, eigen.vectors]);
    });
  }

  it('decomposes matrices of any size and rank, each of a stack for itself', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          n: fc.integer({min: 1, max: 3}),
          dim: fc.integer({min: 1, max: 21}),
          rank: fc.integer({min: 0, max: 21}),
          exponent: fc.integer({min: -30, max: 30}),
          seed: fc.nat(),
        }),
        async ({n, dim, rank, exponent, seed}) => {
          const x = Float32Array.from({length: n * dim * dim});
          for (let i = 0; i < n; i++)
            x.set(gram(seed + i, Math.min(rank, dim), dim, 10 ** exponent), i * dim * dim);
          const input = tf.tensor3d(x, [n, dim, dim]);
          const eigen = await eighAsync(input);
          const {values, vectors} = await numbersOf(eigen);
          for (let i = 0; i < n; i++) {
            const [from, to] = [i * dim, (i + 1) * dim];
            const one = {values: values.subarray(from, to), vectors: vectors.subarray(from * dim, to * dim)};
            expectDecomposition(x.subarray(from * dim, to * dim), one, dim, rounding(3e-7, 2 * dim));
          }
          tf.dispose([input, eigen.values, eigen.vectors]);
        },
      ),
      {numRuns: 40},
    ));

  it('decomposes 64 x 64, 129 x 129, and more than a program of webgpu takes at once', async () => {
    for (const dim of [64, 129, 261]) {
      const x = gram(7, dim, dim, 1);
      const input = tf.tensor3d(x, [1, dim, dim]);
      const eigen = await eighAsync(input);
      expectDecomposition(x, await numbersOf(eigen), dim, rounding(3e-7, 2 * dim));
      tf.dispose([input, eigen.values, eigen.vectors]);
    }
  });

  for (const of of spectra.eigen) {
    const {rows: dim, kind, decades, scale, sum, values} = of;
    it(`gives NumPy's eigenvalues: ${dim} x ${dim}, ${kind} of ${decades} decades from ${scale}`, async () => {
      const rounded = spectralMatrix(of);
      const x = rounded.map((value, at) => (value + rounded[(at % dim) * dim + Math.floor(at / dim)]!) / 2);
      // the matrix is the one that NumPy decomposed
      expect(x.reduce((total, value) => total + Math.abs(value), 0) / sum).to.be.closeTo(1, 1e-6);
      const input = tf.tensor2d(x, [dim, dim]);
      const eigen = await eighAsync(input);
      const found = await numbersOf(eigen);
      const vt = found.vectors;
      const u = vt.map((_, at) => vt[(at % dim) * dim + Math.floor(at / dim)]!);
      const errors = decompositionErrors(x, {u, s: found.values, vt}, values);
      expect(errors.values).to.be.below(rounding(6e-8, dim)); // half a unit in the last place of the largest
      expect(errors.residual).to.be.below(rounding(2e-7, 2 * dim));
      expect(errors.orthogonality).to.be.below(rounding(3e-7, 2 * dim));
      tf.dispose([input, eigen.values, eigen.vectors]);
    });
  }

  it('takes any leading axes', async () => {
    const x = tf.tensor4d(spread(3, 4), [1, 1, 4, 4]);
    const [flat, stack] = [eigh(tf.reshape(x, [4, 4])), eigh(tf.tile(x, [2, 3, 1, 1]))];
    expect([flat.values.shape, flat.vectors.shape]).to.deep.equal([[4], [4, 4]]);
    await expectClose(stack.values, tf.tile(tf.reshape(flat.values, [1, 1, 4]), [2, 3, 1]), 0);
    await expectClose(stack.vectors, tf.tile(tf.reshape(flat.vectors, [1, 1, 4, 4]), [2, 3, 1, 1]), 0);
  });

  it('takes the mean of a matrix and its transpose', async () => {
    const eigen = await eighAsync(tf.tensor3d([1, 5, -1, 1], [1, 2, 2]));
    await expectClose(eigen.values, [3, -1], 1e-6);
  });

  it('gives NaN for a matrix that is not finite, and decomposes the others of the stack', async () => {
    const large = await eighAsync(tf.where(tf.equal(tf.eye(258), 1), NaN, tf.zeros([258, 258])));
    expect((await large.values.data()).every(Number.isNaN)).to.be.true;
    for (const bad of [NaN, Infinity, -Infinity]) {
      const eigen = await eighAsync(tf.tensor3d([2, 0, 0, 1, 1, bad, bad, 1, 5, 0, 0, 4], [3, 2, 2]));
      const {values, vectors} = await numbersOf(eigen);
      expect([...values]).to.deep.equal([2, 1, NaN, NaN, 5, 4]);
      expect([...vectors]).to.deep.equal([1, 0, 0, 1, NaN, NaN, NaN, NaN, 1, 0, 0, 1]);
    }
  });

  it('leaks nothing', async () => {
    const x = tf.eye(4).expandDims<tf.Tensor3D>(0);
    await expectNoLeak(() => eighAsync(x));
    if (backend !== 'webgpu') await expectNoLeak(() => eigh(x));
  });

  it('says what it does not take', () => {
    for (const x of [tf.ones([2, 3, 4]), tf.ones([3]), tf.ones([1, 3, 3], 'int32'), tf.ones([2, 0, 0])]) {
      expect(() => eigh(x)).to.throw(InvalidArgumentError, `[${x.shape.join(', ')}]`);
    }
  });
});

describeOnBackends(
  'eigh at once',
  () => {
    it('equals its reference, signs included', () =>
      fc.assert(
        fc.asyncProperty(fc.integer({min: 1, max: 17}), fc.nat(), async (dim, seed) => {
          const x = tf.tensor3d(spread(seed, dim), [1, dim, dim]);
          const [actual, expected] = [eigh(x), withReference(eighOp.name, () => eigh(x))];
          await expectClose(actual.values, expected.values, 1e-5);
          await expectClose(actual.vectors, expected.vectors, 1e-5);
          tf.dispose([x, actual.values, actual.vectors, expected.values, expected.vectors]);
        }),
        {numRuns: 30},
      ));
  },
  testBackends.filter(backend => !backend.startsWith('webg')),
);

/** V x V^T = diag(values), V V^T = 1, values descending, leading components positive. */
function expectDecomposition(
  x: Float32Array,
  {values, vectors}: {values: Float32Array; vectors: Float32Array},
  dim: number,
  tolerance: number,
): void {
  const size = Math.max(...values.map(Math.abs));
  for (let i = 0; i < dim; i++) {
    if (i > 0) expect(values[i]!).to.be.at.most(values[i - 1]!);
    const v = vectors.subarray(i * dim, (i + 1) * dim);
    const magnitudes = v.map(Math.abs);
    const largest = Math.max(...magnitudes);
    const leading = magnitudes.findIndex(magnitude => magnitude >= largest * 0.99999);
    expect(v[leading]!, 'leading component').to.be.above(0);
    for (let j = 0; j < dim; j++) {
      let [product, overlap] = [0, 0];
      for (let k = 0; k < dim; k++) {
        product += x[j * dim + k]! * v[k]!;
        overlap += v[k]! * vectors[j * dim + k]!;
      }
      if (Math.abs(product - values[i]! * v[j]!) > tolerance * size)
        expect.fail(`x v != value v for vector ${i}, row ${j}`);
      if (Math.abs(overlap - (i === j ? 1 : 0)) > tolerance)
        expect.fail(`vectors ${i} and ${j} have overlap ${overlap}`);
    }
  }
}

/** A symmetric matrix [dim, dim] of the given rank with both signs of eigenvalues. */
function gram(seed: number, rank: number, dim: number, scale: number): Float32Array {
  const rows = randomFloats(seed, rank * dim);
  return Float32Array.from({length: dim * dim}, (_, at) => {
    const [i, j] = [Math.floor(at / dim), at % dim];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += (r % 3 === 2 ? -1 : 1) * (rows[r * dim + i]! * rows[r * dim + j]!);
    return sum * scale;
  });
}

/** A symmetric matrix whose eigenvalues lie more than 1 apart (Gershgorin), so that its vectors are well defined. */
function spread(seed: number, dim: number): Float32Array {
  const noise = randomFloats(seed, dim * dim, 0.25 / dim);
  return Float32Array.from({length: dim * dim}, (_, at) => {
    const [i, j] = [Math.floor(at / dim), at % dim];
    // multiplication by 19, prime to all dims here, shuffles the diagonal
    return i === j ? 3 * ((i * 19) % dim) : noise[Math.min(i, j) * dim + Math.max(i, j)]!;
  });
}

const row = (data: readonly number[], index: number, length: number) =>
  data.slice(index * length, (index + 1) * length);

async function numbersOf({values, vectors}: Eigen) {
  return {values: await values.data<'float32'>(), vectors: await vectors.data<'float32'>()};
}
