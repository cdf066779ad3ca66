import * as tf from '@tensorflow/tfjs';
import {
  EigenvalueDecomposition,
  Matrix,
  QrDecomposition,
  SingularValueDecomposition,
  pseudoInverse,
} from 'ml-matrix';
import {expect} from 'chai';
import {eigh} from '../../../ops/linalg/eigh/index.js';
import {lowRank} from '../../../ops/linalg/low_rank.js';
import {pinv} from '../../../ops/linalg/pinv.js';
import {qr} from '../../../ops/linalg/qr/index.js';
import {randomizedSvd} from '../../../ops/linalg/randomized_svd.js';
import {svd} from '../../../ops/linalg/svd/index.js';
import {describeOnBackends} from '../../support/backends.js';
import {numericGradient} from '../../support/numeric_gradient.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

// Gradients of weighted sums of every number of a decomposition, beside central differences in float64 of ml-matrix's.

const shapes = [
  [4, 4],
  [6, 3],
  [3, 6],
] as const;

/** Singular values near 1, 2, 3 ...; not symmetric. */
const matrixOf = (rows: number, columns: number) =>
  randomFloats(7, rows * columns, 0.3).map((random, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    return random + (i === j ? 1 + i : 0);
  });
const weightsOf = (seed: number, ...shape: number[]) =>
  tf.tensor(
    randomFloats(
      seed,
      shape.reduce((a, b) => a * b, 1),
    ),
    shape,
  );
const weighted = (tensors: Record<string, tf.Tensor>): tf.Scalar =>
  tf.addN(
    Object.values(tensors).map((tensor, i) => tf.sum(tf.mul(tensor, weightsOf(i, ...tensor.shape)))),
  ) as tf.Scalar;
const sumOf = (matrices: readonly Matrix[]) =>
  matrices.reduce((sum, matrix, i) => {
    const weights = randomFloats(i, matrix.rows * matrix.columns);
    return sum + matrix.to1DArray().reduce((total, x, at) => total + x * weights[at]!, 0);
  }, 0);
const matrix64 = (x: Float64Array, rows: number, columns: number) =>
  Matrix.from1DArray(rows, columns, [...x]);
/** Each row's sign changed so that the component of the largest magnitude is positive. */
const signsOf = (vectors: Matrix) =>
  vectors.to2DArray().map(row => (row.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a)) < 0 ? -1 : 1));

function svd64(x: Float64Array, rows: number, columns: number): Matrix[] {
  const found = new SingularValueDecomposition(matrix64(x, rows, columns), {autoTranspose: true});
  const vt = found.rightSingularVectors.transpose();
  const signs = Matrix.diag(signsOf(vt));
  return [found.leftSingularVectors.mmul(signs), Matrix.rowVector(found.diagonal), signs.mmul(vt)];
}

/** Of the mean of a matrix and its transpose. */
function eigh64(x: Float64Array, dim: number): Matrix[] {
  const given = matrix64(x, dim, dim);
  const {realEigenvalues, eigenvectorMatrix} = new EigenvalueDecomposition(
    given.add(given.transpose()).mul(0.5),
    {
      assumeSymmetric: true,
    },
  );
  const order = realEigenvalues.map((_, i) => i).sort((a, b) => realEigenvalues[b]! - realEigenvalues[a]!);
  const vectors = new Matrix(order.map(i => eigenvectorMatrix.getColumn(i)));
  return [Matrix.rowVector(order.map(i => realEigenvalues[i]!)), Matrix.diag(signsOf(vectors)).mmul(vectors)];
}

describeOnBackends('gradients of decompositions', backend => {
  it('eigh: of values and vectors', async () => {
    const dim = 5;
    const x = matrixOf(dim, dim);
    const numeric = numericGradient(numbers => sumOf(eigh64(numbers, dim)), Float64Array.from(x));
    const dx = tf.grad(given => weighted(eigh(given)))(tf.tensor2d(x, [dim, dim]));
    await expectClose(dx, numeric, 1e-5);
  });

  for (const [rows, columns] of shapes) {
    const x = matrixOf(rows, columns);
    const input = () => tf.tensor2d(x, [rows, columns]);

    it(`svd: of all three, [${rows}, ${columns}]`, async () => {
      const numeric = numericGradient(numbers => sumOf(svd64(numbers, rows, columns)), Float64Array.from(x));
      await expectClose(tf.grad(given => weighted(svd(given)))(input()), numeric, 1e-5);
    });

    it(`svd of rank 2, and lowRank, [${rows}, ${columns}]`, async () => {
      const numeric = numericGradient(numbers => {
        const [u, s, vt] = svd64(numbers, rows, columns) as [Matrix, Matrix, Matrix];
        return sumOf([
          u.subMatrix(0, rows - 1, 0, 1),
          s.subMatrix(0, 0, 0, 1),
          vt.subMatrix(0, 1, 0, columns - 1),
        ]);
      }, Float64Array.from(x));
      await expectClose(tf.grad(given => weighted(svd(given, {rank: 2})))(input()), numeric, 1e-5);
      const product = numericGradient(numbers => {
        const [u, s, vt] = svd64(numbers, rows, columns) as [Matrix, Matrix, Matrix];
        return sumOf([
          u
            .subMatrix(0, rows - 1, 0, 1)
            .mmul(Matrix.diag(s.to1DArray().slice(0, 2)))
            .mmul(vt.subMatrix(0, 1, 0, columns - 1)),
        ]);
      }, Float64Array.from(x));
      const dx = tf.grad(given => {
        const {left, right} = lowRank(given, {rank: 2});
        return weighted({product: tf.matMul(left, right)});
      })(input());
      await expectClose(dx, product, 1e-5);
    });

    it(`qr: of both, [${rows}, ${columns}]`, async () => {
      const count = Math.min(rows, columns);
      const numeric = numericGradient(numbers => {
        const given = matrix64(numbers, rows, columns);
        const q = new QrDecomposition(given.subMatrix(0, rows - 1, 0, count - 1)).orthogonalMatrix;
        const r = q.transpose().mmul(given);
        const signs = Matrix.diag(r.diagonal().map(Math.sign));
        return sumOf([q.mmul(signs), signs.mmul(r)]);
      }, Float64Array.from(x));
      await expectClose(tf.grad(given => weighted(qr(given)))(input()), numeric, 1e-5);
    });

    it(`pinv, [${rows}, ${columns}]`, async () => {
      const numeric = numericGradient(
        numbers => sumOf([pseudoInverse(matrix64(numbers, rows, columns))]),
        Float64Array.from(x),
      );
      await expectClose(tf.grad(given => weighted({inverse: pinv(given)}))(input()), numeric, 1e-4);
    });

    it(`randomizedSvd that sees all directions is svd, [${rows}, ${columns}]`, async () => {
      const [dx, expected] = [
        tf.grad(given => weighted(randomizedSvd(given, {rank: 2, powerIterations: 0})))(input()),
        tf.grad(given => weighted(svd(given, {rank: 2})))(input()),
      ];
      await expectClose(dx, expected, 1e-4);
    });
  }

  it('do not depend on the scale, also where squares overflow', async () => {
    const x = tf.tensor2d(matrixOf(4, 4), [4, 4]);
    const vectors = (given: tf.Tensor) => weighted({vt: svd(given).vt});
    const expected = tf.grad(vectors)(x);
    for (const scale of [2 ** 80, 2 ** -80]) {
      await expectClose(tf.mul(tf.grad(vectors)(tf.mul(x, scale)), scale), expected, 1e-5);
    }
  });

  for (const [name, run] of Object.entries({
    'values of eigh': (given: tf.Tensor) => weighted({values: tf.mul(eigh(given).values, 10)}),
    'values of svd': (given: tf.Tensor) => weighted({s: tf.mul(svd(given).s, 10)}),
    'r of qr': (given: tf.Tensor) => weighted({r: qr(given).r}),
  })) {
    it(`of ${name} are the same at any scale, to the ends of float32`, async () => {
      const x = tf.tensor2d(
        matrixOf(4, 4).map(number => Math.round(number * 64) / 64), // exact, also as subnormal numbers
        [4, 4],
      );
      const expected = tf.grad(run)(x);
      for (const scale of [2 ** 124, 2 ** -120, 2 ** -130]) {
        if (scale < 1e-38 && (backend.startsWith('webg') || (backend === 'tensorflow' && name === 'r of qr')))
          continue; // zeros there
        const scaled = tf.tensor2d(
          (await x.data()).map(number => number * scale),
          [4, 4],
        );
        await expectClose(tf.grad(run)(scaled), expected, 1e-4);
      }
    });
  }

  it('of pinv are right as long as they fit float32 themselves', async () => {
    const x = tf.tensor2d(matrixOf(4, 3), [4, 3]);
    const inverse = (given: tf.Tensor) => weighted({inverse: pinv(given)});
    const expected = tf.grad(inverse)(x);
    for (const scale of [2 ** -60, 2 ** 60]) {
      // pinv(c x) = pinv(x) / c, so that the gradient is that of x by c^2
      const dx = tf.grad(inverse)(tf.mul(x, scale));
      await expectClose(tf.mul(tf.mul(dx, scale), scale), expected, 1e-4);
    }
  });

  it('qr: of columns of any sizes', async () => {
    const sizes = [1, 1e-9, 1e9];
    const even = matrixOf(4, 3);
    const graded = (numbers: ArrayLike<number>) =>
      Float32Array.from(numbers, (number, at) => number * sizes[at % 3]!);
    // q is the same for any sizes of columns, so that its gradient changes as their inverses
    const ofQ = tf.grad((given: tf.Tensor) => weighted({q: qr(given).q}));
    const dx = await ofQ(tf.tensor2d(graded(even), [4, 3])).data<'float32'>();
    await expectClose(tf.tensor2d(graded(dx), [4, 3]), ofQ(tf.tensor2d(even, [4, 3])), 1e-5);
  });

  it('are those of each matrix of a stack', async () => {
    const x = tf.tensor2d(matrixOf(4, 4), [4, 4]);
    for (const run of [eigh, svd, qr, (given: tf.Tensor) => ({inverse: pinv(given)})]) {
      const squares = (given: tf.Tensor) =>
        tf.addN(Object.values(run(given) as Record<string, tf.Tensor>).map(part => tf.sum(tf.pow(part, 3))));
      const one = tf.grad(squares)(x);
      const stack = tf.grad(squares)(tf.tile(tf.reshape(x, [1, 1, 4, 4]), [2, 1, 1, 1]));
      await expectClose(stack, tf.tile(tf.reshape(one, [1, 1, 4, 4]), [2, 1, 1, 1]), 1e-5);
    }
  });

  it('are right for functions of the common space of equal values', async () => {
    // 3, 3 and 1: projections on the space of the first two
    const [dim, kept] = [3, 2];
    const x = Float64Array.of(3, 0, 0, 0, 3, 0, 0, 0, 1);
    const input = () => tf.tensor2d([...x], [dim, dim]);
    const first = (of: tf.Tensor, shape: [number, number]) => tf.slice(of, [0, 0], shape);
    const projected = numericGradient(numbers => {
      const [, , vt] = svd64(numbers, dim, dim);
      const rows = vt!.subMatrix(0, kept - 1, 0, dim - 1);
      return sumOf([rows.transpose().mmul(rows)]);
    }, x);
    const ofSvd = tf.grad(given => {
      const rows = first(svd(given).vt, [kept, dim]);
      return weighted({projection: tf.matMul(rows, rows, true)});
    });
    await expectClose(ofSvd(input()), projected, 1e-5);
    const ofEigh = tf.grad(given => {
      const rows = first(eigh(given).vectors, [kept, dim]);
      return weighted({projection: tf.matMul(rows, rows, true)});
    });
    const projectedByEigh = numericGradient(numbers => {
      const rows = eigh64(numbers, dim)[1]!.subMatrix(0, kept - 1, 0, dim - 1);
      return sumOf([rows.transpose().mmul(rows)]);
    }, x);
    await expectClose(ofEigh(input()), projectedByEigh, 1e-5);
    const rotation = numericGradient(numbers => {
      const [u, , vt] = svd64(numbers, dim, dim);
      return sumOf([u!.subMatrix(0, dim - 1, 0, kept - 1).mmul(vt!.subMatrix(0, kept - 1, 0, dim - 1))]);
    }, x);
    const ofRotation = tf.grad(given => {
      const {u, vt} = svd(given);
      return weighted({rotation: tf.matMul(first(u, [dim, kept]), first(vt, [kept, dim]))});
    });
    await expectClose(ofRotation(input()), rotation, 1e-5);
    // the nuclear norm of c 1 has the gradient U V^T = 1
    const norm = tf.grad(given => tf.sum(svd(given).s));
    await expectClose(norm(tf.mul(tf.eye(4), 3)), await tf.eye(4).data(), 1e-6);
  });

  it('are finite where values are equal or zero', async () => {
    for (const x of [tf.zeros([3, 3]), tf.ones([4, 4]), tf.diag(tf.tensor1d([1, 0, 0])), tf.eye(3)]) {
      for (const run of [eigh, svd, (given: tf.Tensor) => lowRank(given, {rank: 1})]) {
        const dx = tf.grad(given => weighted(run(given)))(x);
        for (const number of await dx.data()) expect(number).to.satisfy(Number.isFinite);
      }
    }
  });

  it('of the error of lowRank', async () => {
    const x = matrixOf(4, 4);
    const numeric = numericGradient(
      numbers => Math.hypot(...svd64(numbers, 4, 4)[1]!.to1DArray().slice(2)),
      Float64Array.from(x),
    );
    await expectClose(
      tf.grad(given => lowRank(given as tf.Tensor2D, {rank: 2}).error)(tf.tensor2d(x, [4, 4])),
      numeric,
      1e-5,
    );
  });

  it('leak nothing', async () => {
    const x = tf.tensor2d(matrixOf(4, 4), [4, 4]);
    for (const run of [eigh, svd, qr, (given: tf.Tensor) => ({inverse: pinv(given)})]) {
      await expectNoLeak(() => tf.grad(given => weighted(run(given)))(x));
    }
  });
});
