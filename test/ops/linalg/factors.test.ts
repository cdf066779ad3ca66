import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {BackendError, InvalidArgumentError, shown} from '../../../base/errors.js';
import {lowRank} from '../../../ops/linalg/low_rank.js';
import {pinv} from '../../../ops/linalg/pinv.js';
import {qr, qrOp} from '../../../ops/linalg/qr/index.js';
import {randomizedSvd} from '../../../ops/linalg/randomized_svd.js';
import {svd} from '../../../ops/linalg/svd/index.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {randomOfRank, roundingOn} from '../../support/decomposition_errors.js';
import {extremes} from '../../support/extremes.js';
import {type GoldenArray, goldenTensor, readGolden} from '../../support/golden.js';
import {randomFloats} from '../../support/random.js';
import {withReference} from '../../support/reference.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

type Whole = Readonly<Record<'x' | 'q' | 'r' | 'pinv' | 'low' | 'error', GoldenArray>> & {
  readonly name: string;
  readonly rank: number;
};

const golden = (readGolden('linalg/decompositions.json') as {readonly whole: readonly Whole[]}).whole;
const sizes = [
  [1, 1],
  [7, 4],
  [4, 7],
  [6, 6],
  [33, 20],
  [20, 33],
] as const;
const bad = (owner: string, run: (x: tf.Tensor) => unknown) => {
  for (const x of [tf.ones([3]), tf.ones([3, 3], 'int32'), tf.ones([0, 3, 3]), tf.ones([3, 0])]) {
    expect(() => run(x)).to.throw(InvalidArgumentError, `${owner} got ${x.dtype} [${x.shape.join(', ')}]`);
  }
  const disposed = tf.ones([3, 3]);
  disposed.dispose();
  expect(() => run(disposed)).to.throw(InvalidArgumentError, `${owner} got a disposed float32 [3, 3]`);
  for (const given of [[[1, 2]], undefined, null]) {
    expect(() => run(given as unknown as tf.Tensor)).to.throw(
      InvalidArgumentError,
      `${owner} got ${shown(given)}`,
    );
  }
};

describeOnBackends('qr', backend => {
  const rounding = (tight: number) => roundingOn(backend, tight, 32);

  for (const {name, x, q, r} of golden) {
    it(`gives NumPy's factors, with any leading axes: ${name}`, async () => {
      const found = qr<tf.Tensor>(goldenTensor(x));
      expect([found.q.shape, found.r.shape]).to.deep.equal([q.shape, r.shape]);
      await expectClose(found.q, q.data, rounding(3e-7));
      await expectClose(found.r, r.data, rounding(3e-7));
    });
  }

  it('gives orthonormal columns and a triangle whose diagonal is not negative, also of dependent columns', async () => {
    for (const [rows, columns] of sizes) {
      for (const rank of [0, 1, Math.min(rows, columns)]) {
        const x = tf.tensor2d(randomOfRank(rank + 5, rows, columns, rank), [rows, columns]);
        const {q, r} = qr(x);
        await expectFactors(x, q, r, rounding(3e-7));
      }
    }
  });

  it('decomposes more than a program of webgpu takes at once', async () => {
    const x = tf.tensor2d(randomOfRank(4, 600, 400, 400), [600, 400]);
    const {q, r} = qr(x);
    await expectFactors(x, q, r, roundingOn(backend, 1e-6, 600));
  });

  for (const [name, make] of Object.entries(extremes)) {
    if (name === 'denormal numbers' && backend.startsWith('webg')) continue; // GPUs take them for zeros
    it(`decomposes ${name}`, async () => {
      const [rows, columns] = [9, 7];
      const numbers = randomFloats(3, rows * columns).map((random, at) =>
        make(Math.floor(at / columns), at % columns, random),
      );
      const x = tf.tensor2d(numbers, [rows, columns]);
      const {q, r} = qr(x);
      // sizes of denormal numbers are rounded to few digits
      await expectFactors(x, q, r, name === 'denormal numbers' ? 1e-5 : rounding(3e-7));
    });
  }

  it('gives NaN for a matrix that is not finite, and decomposes the others of the stack', async () => {
    const {q, r} = qr(tf.tensor3d([1, NaN, 2, 0, 0, 3], [2, 1, 3]));
    expect([...(await q.data())]).to.deep.equal([NaN, 1]);
    expect([...(await r.data())]).to.deep.equal([NaN, NaN, NaN, 0, 0, 3]);
  });

  it('leaks nothing and says what it does not take', async () => {
    const x = tf.tensor3d(randomFloats(4, 120), [2, 10, 6]);
    await expectNoLeak(() => qr(x));
    bad('qr', qr);
  });
});

describeOnBackends(
  'qr by its kernel',
  () => {
    it('equals its reference', async () => {
      const x = tf.tensor3d(randomFloats(4, 120), [2, 10, 6]);
      const [actual, expected] = [qr(x), withReference(qrOp.name, () => qr(x))];
      await expectClose(actual.q, expected.q, 1e-6);
      await expectClose(actual.r, expected.r, 1e-6);
    });
  },
  testBackends.filter(backend => backend === 'wasm' || backend === 'tensorflow'),
);

describeOnBackends('pinv', () => {
  for (const {name, x, pinv: expected} of golden) {
    it(`equals NumPy's: ${name}`, async () => {
      const found = pinv<tf.Tensor>(goldenTensor(x));
      expect(found.shape).to.deep.equal(expected.shape);
      await expectClose(found, expected.data, 2e-6);
    });
  }

  it("fulfils Penrose's four equations, also of matrices of low rank", async () => {
    for (const [rows, columns] of sizes) {
      const numbers = Float32Array.from(
        randomOfRank(3, rows, columns, Math.min(2, rows, columns)),
        Math.fround,
      );
      const x = tf.tensor2d(numbers, [rows, columns]);
      const inverse = pinv(x, {tolerance: 1e-5}); // float32 leaves numbers of 1e-7 where zeros should be
      const [left, right] = [tf.matMul(x, inverse), tf.matMul(inverse, x)];
      await expectClose(tf.matMul(left, x), x, 1e-5);
      await expectClose(tf.matMul(right, inverse), inverse, 1e-5);
      await expectClose(left, tf.transpose(left), 1e-5);
      await expectClose(right, tf.transpose(right), 1e-5);
    }
  });

  it('of zeros is zeros, of NaN is NaN, and by default counts what float32 can tell from zero', async () => {
    await expectClose(pinv(tf.zeros([2, 3])), new Float32Array(6), 0);
    expect([...(await pinv(tf.tensor2d([[1, NaN]])).data())]).to.deep.equal([NaN, NaN]);
    await expectClose(pinv(tf.diag(tf.tensor1d([1, 1e-6, 1e-8]))), [1, 0, 0, 0, 1e6, 0, 0, 0, 0], 1e-6);
    await expectClose(pinv(tf.diag(tf.tensor1d([1, 0.1])), {tolerance: 0.5}), [1, 0, 0, 0], 1e-6);
  });

  it('leaks nothing and says what it does not take', async () => {
    const x = tf.tensor3d(randomFloats(4, 120), [2, 10, 6]);
    await expectNoLeak(() => pinv(x));
    bad('pinv', pinv);
    for (const tolerance of [-1, NaN, 2]) {
      expect(() => pinv(x, {tolerance})).to.throw(InvalidArgumentError, `tolerance = ${tolerance}`);
    }
  });
});

describeOnBackends('lowRank', backend => {
  const readsAtOnce = backend !== 'webgpu';

  for (const {name, x, rank, low, error} of golden) {
    it(`is NumPy's best approximation: ${name}`, async () => {
      const {left, right, error: found} = lowRank<tf.Tensor>(goldenTensor(x), {rank});
      expect(found.shape).to.deep.equal(error.shape);
      await expectClose(tf.matMul(left, right), low.data, 1e-6);
      await expectClose(found, error.data, 1e-6);
    });
  }

  it('keeps the smallest rank that holds the energy in every matrix of a stack', async () => {
    if (!readsAtOnce) {
      expect(() => lowRank(tf.eye(3), {energy: 0.5})).to.throw(BackendError, 'synchronously');
      return;
    }
    const diagonals = tf.stack([tf.diag(tf.tensor1d([3, 2, 1])), tf.diag(tf.tensor1d([5, 0, 0]))]);
    for (const [energy, rank, error] of [
      [0.6, 1, Math.sqrt(5)],
      [0.9, 2, 1],
      [0.99, 3, 0],
      [1, 3, 0],
    ] as const) {
      const found = lowRank(diagonals, {energy});
      expect(found.left.shape).to.deep.equal([2, 3, rank]);
      await expectClose(found.error, [error, 0], 1e-6);
    }
    expect(lowRank(tf.zeros([3, 4]), {energy: 0.5}).left.shape).to.deep.equal([3, 1]);
  });

  it('has errors of huge and tiny matrices', async () => {
    for (const scale of [1e36, 1e-36]) {
      const {error} = lowRank(tf.diag(tf.tensor1d([3 * scale, 2 * scale, scale])), {rank: 1});
      await expectClose(tf.div(error, scale), [Math.sqrt(5)], 1e-6);
    }
  });

  it('gives NaN for a matrix that is not finite, at the full rank, too', async () => {
    const x = tf.tensor3d([1, NaN, 2, 0, 0, 3, 4, 5], [2, 2, 2]);
    for (const rank of [1, 2]) {
      const {left, right, error} = lowRank(x, {rank});
      const first = await Promise.all([left, right, error].map(async part => (await part.data())[0]));
      expect(first, `rank ${rank}`).to.deep.equal([NaN, NaN, NaN]);
      if (rank === 2) await expectClose(tf.slice(error, [1], [1]), [0], 0);
    }
  });

  it('leaks nothing and says what it does not take', async () => {
    const x = tf.tensor3d(randomFloats(4, 120), [2, 10, 6]);
    await expectNoLeak(() => lowRank(x, {rank: 2}));
    if (readsAtOnce) await expectNoLeak(() => lowRank(x, {energy: 0.5}));
    bad('lowRank', given => lowRank(given, {rank: 1}));
    for (const options of [{}, {rank: 1, energy: 0.5}]) {
      expect(() => lowRank(x, options)).to.throw(InvalidArgumentError, 'either rank or energy');
    }
    for (const rank of [0, 7, 1.5]) {
      expect(() => lowRank(x, {rank})).to.throw(InvalidArgumentError, `rank = ${rank}`);
    }
    for (const energy of [0, -1, 1.01, NaN]) {
      expect(() => lowRank(x, {energy})).to.throw(InvalidArgumentError, `energy = ${energy}`);
    }
    if (!readsAtOnce) return;
    expect(() => lowRank(tf.tensor2d([[1, NaN]]), {energy: 0.5})).to.throw(
      InvalidArgumentError,
      'matrix 0 of 1 has NaN',
    );
    const second = tf.tensor3d([1, 2, NaN, 4], [2, 1, 2]);
    expect(() => lowRank(second, {energy: 0.5})).to.throw(InvalidArgumentError, 'matrix 1 of 2 has NaN');
  });
});

describeOnBackends('randomizedSvd', () => {
  /** Singular values 1, 1/2, 1/4 ... */
  const falling = (rows: number, columns: number) =>
    tf.tidy(() => {
      const count = Math.min(rows, columns);
      const [u, v] = [rows, columns].map(
        (length, i) => qr(tf.tensor2d(randomFloats(i, length * count), [length, count])).q,
      );
      const s = tf.pow(0.5, tf.range(0, count));
      return tf.matMul<tf.Tensor2D>(tf.mul(u!, s), v!, false, true);
    });

  it('finds the largest triplets', async () => {
    for (const [rows, columns] of [
      [60, 40],
      [40, 60],
    ] as const) {
      const x = falling(rows, columns);
      const [exact, found] = [svd(x, {rank: 5}), randomizedSvd(x, {rank: 5})];
      for (const part of ['u', 's', 'vt'] as const) await expectClose(found[part], exact[part], 2e-6, part);
    }
  });

  it('without power iterations keeps within its expected error', async () => {
    const x = falling(60, 40);
    const {u, s, vt} = randomizedSvd(x, {rank: 4, powerIterations: 0});
    const rest = svd(tf.sub(x, tf.matMul(tf.mul(u, s), vt))).s;
    const most = 1 + Math.sqrt(4 / 9) + (Math.E * Math.sqrt(14) * Math.sqrt(36)) / 10;
    expect((await rest.data())[0]).to.be.below(most / 16);
  });

  it('is exact for a matrix of low rank, and of every matrix of a stack', async () => {
    const x = tf.tensor4d([...randomOfRank(3, 12, 9, 2), ...randomOfRank(8, 12, 9, 2)], [1, 2, 12, 9]);
    const {u, s, vt} = randomizedSvd(x, {rank: 2, oversampling: 0});
    await expectClose(tf.matMul(tf.mul(u, tf.expandDims(s, 2)), vt), x, 3e-6);
  });

  it('is the same for the same seed', async () => {
    const x = falling(30, 20);
    const run = (seed?: number) =>
      randomizedSvd(x, {rank: 3, powerIterations: 0, oversampling: 1, ...(seed === undefined ? {} : {seed})});
    await expectClose(run(4).s, run(4).s, 0);
    await expectClose(run().s, run(0).s, 0);
    expect([...(await run(4).s.data())]).to.not.deep.equal([...(await run(5).s.data())]);
  });

  it('leaks nothing and says what it does not take', async () => {
    const x = tf.tensor3d(randomFloats(4, 120), [2, 10, 6]);
    await expectNoLeak(() => randomizedSvd(x, {rank: 2}));
    bad('randomizedSvd', given => randomizedSvd(given, {rank: 1}));
    for (const rank of [0, 7, 1.5]) {
      expect(() => randomizedSvd(x, {rank})).to.throw(InvalidArgumentError, `rank = ${rank}`);
    }
    for (const option of ['oversampling', 'powerIterations', 'seed']) {
      expect(() => randomizedSvd(x, {rank: 1, [option]: -1})).to.throw(
        InvalidArgumentError,
        `${option} = -1`,
      );
    }
  });
});

async function expectFactors(
  x: tf.Tensor2D,
  q: tf.Tensor2D,
  r: tf.Tensor2D,
  tolerance: number,
): Promise<void> {
  const [rows, columns] = x.shape;
  const count = Math.min(rows, columns);
  const [given, a, b] = await Promise.all([x.data(), q.data(), r.data()]);
  for (let j = 0; j < columns; j++) {
    const size = Math.max(
      ...Array.from({length: rows}, (_, i) => Math.abs(given[i * columns + j]!)),
      2 ** -149,
    );
    for (let i = 0; i < count; i++) {
      if (i > j) expect(b[i * columns + j]).to.equal(0);
      if (i === j) expect(b[i * columns + j]).to.be.at.least(0);
    }
    for (let i = 0; i < rows; i++) {
      let sum = -given[i * columns + j]!;
      for (let k = 0; k < count; k++) sum += a[i * count + k]! * b[k * columns + j]!;
      expect(Math.abs(sum) / (size * Math.sqrt(rows)), `column ${j}`).to.be.at.most(tolerance);
    }
  }
  await expectClose(tf.matMul(q, q, true), tf.eye(count), Math.max(5e-7, 2 * tolerance));
}
