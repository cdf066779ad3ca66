import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {batchedMatMul, batchedMatMulOp} from '../../ops/batched_matmul/index.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {hasKernel} from '../../ops/run_op.js';
import {describeOnBackends} from '../support/backends.js';
import {readGolden, type GoldenArray} from '../support/golden.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

interface ProductGolden {
  readonly products: {readonly a: GoldenArray; readonly b: GoldenArray; readonly product: GoldenArray}[];
}

const golden = readGolden('linalg/linalg.json') as ProductGolden;
const transpositions = [false, true].flatMap(transposeA =>
  [false, true].map(transposeB => ({transposeA, transposeB})),
);

describeOnBackends('batchedMatMul', backend => {
  it('runs by a kernel on wasm', () => {
    expect(hasKernel(batchedMatMulOp.name)).to.equal(backend === 'wasm');
  });

  for (const {a, b, product} of golden.products) {
    it(`gives the golden product [${a.shape.join()}] x [${b.shape.join()}] in all four encodings`, async () => {
      for (const options of transpositions) {
        const result = tf.tidy(() =>
          batchedMatMul(stored(a, options.transposeA), stored(b, options.transposeB), options),
        );
        expect(result.shape).to.deep.equal(product.shape);
        await expectClose(result, product.data, 2e-6);
        result.dispose();
      }
    });
  }

  it('equals its reference over shapes around its tiles and blocks, in stacks of one and two axes', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          leading: fc.constantFrom([1], [3], [2, 2]),
          m: fc.oneof(
            {arbitrary: fc.integer({min: 1, max: 13}), weight: 3},
            fc.constantFrom(64, 65, 128, 129),
          ),
          k: fc.oneof({arbitrary: fc.integer({min: 1, max: 35}), weight: 3}, fc.constantFrom(256, 257)),
          n: fc.integer({min: 1, max: 19}),
          options: fc.constantFrom(...transpositions),
        }),
        async ({leading, m, k, n, options}) => {
          const a = randomMatrices([...leading, ...(options.transposeA ? [k, m] : [m, k])]);
          const b = randomMatrices([...leading, ...(options.transposeB ? [n, k] : [k, n])]);
          const run = () => batchedMatMul(a, b, options);
          const [actual, expected] = [run(), withReference(batchedMatMulOp.name, run)];
          await expectClose(actual, expected, 2e-5);
          tf.dispose([a, b, actual, expected]);
        },
      ),
      {numRuns: 60},
    ));

  it('leaks nothing', async () => {
    const [a, b] = [tf.ones<tf.Rank.R3>([2, 5, 3]), tf.ones<tf.Rank.R3>([2, 3, 9])];
    await expectNoLeak(() => batchedMatMul(a, b));
    tf.dispose([a, b]);
  });

  it('says what does not fit', () => {
    const a = tf.ones<tf.Rank.R3>([2, 5, 3]);
    for (const b of [
      tf.ones<tf.Rank.R3>([2, 4, 5]),
      tf.ones<tf.Rank.R3>([1, 3, 5]),
      tf.ones<tf.Rank.R3>([2, 3, 5], 'int32'),
    ]) {
      expect(() => batchedMatMul(a, b)).to.throw(InvalidArgumentError, 'float32 [2, 5, 3] and');
      b.dispose();
    }
    a.dispose();
  });
});

/** A golden stack of matrices as it lies in memory for the encoding that reads it transposed, or not. */
function stored(array: GoldenArray, transposed: boolean): tf.Tensor3D {
  const x = tf.tensor3d(array.data, array.shape as [number, number, number]);
  return transposed ? tf.transpose(x, [0, 2, 1]) : x;
}

/** Of three or four axes, which the op treats alike. */
function randomMatrices(shape: number[]): tf.Tensor3D {
  return tf.randomNormal<tf.Rank.R3>(shape as [number, number, number]);
}
