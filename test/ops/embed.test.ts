import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {embed} from '../../ops/embed/index.js';
import {type PackedFormat, packedFormats} from '../../ops/weights/formats.js';
import {describeOnBackends} from '../support/backends.js';
import {packedMatrix} from '../support/packed_matrix.js';
import {randomFloats, randomStream} from '../support/random.js';
import {withHostReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

const cases = fc.record({
  format: fc.constantFrom('float32' as const, ...(Object.keys(packedFormats) as PackedFormat[])),
  batch: fc.integer({min: 1, max: 3}),
  tokens: fc.integer({min: 1, max: 9}),
  rows: fc.integer({min: 1, max: 40}),
  dim: fc.integer({min: 1, max: 70}),
  dtype: fc.constantFrom('int32' as const, 'float32' as const),
  seed: fc.integer(),
});

describeOnBackends('embed', backend => {
  it('gives the rows of its table, float32 or packed, and its kernel what its reference gives', () =>
    fc.assert(
      fc.asyncProperty(cases, async ({format, batch, tokens, rows, dim, dtype, seed}) => {
        const next = randomStream(seed);
        const numbers = Array.from({length: batch * tokens}, () => Math.floor(next() * rows));
        const ids = tf.tensor2d(numbers, [batch, tokens], dtype);
        const {table, values} = tableOf(format, rows, dim, seed);
        const run = () => embed(ids, table);
        const expected = numbers.flatMap(id => [...values.subarray(id * dim, (id + 1) * dim)]);
        for (const found of [run(), ...withHostReference('Embed', run)]) {
          expect(found.shape).to.deep.equal([batch, tokens, dim]);
          await expectClose(found, expected, 0);
          found.dispose();
        }
        tf.dispose([ids, 'records' in table ? table.records : table]);
      }),
      {numRuns: 100},
    ));

  it('sums the gradients of the tokens that share a row', async () => {
    const ids = tf.tensor2d([2, 0, 2], [1, 3], 'int32');
    const table = tf.tensor2d(randomFloats(1, 12), [4, 3]);
    const dy = tf.tensor3d([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3]);
    const gradient = tf.grad(x => embed(ids, x as tf.Tensor2D))(table, dy);
    await expectClose(gradient, [4, 5, 6, 0, 0, 0, 8, 10, 12, 0, 0, 0], 0);
    tf.dispose([ids, table, dy, gradient]);
  });

  it('leaks nothing, whatever the dtype of the ids, with its gradient', async () => {
    const [ids, floats] = [tf.zeros<tf.Rank.R2>([1, 3], 'int32'), tf.zeros<tf.Rank.R2>([1, 3])];
    const {table} = tableOf('packed4', 9, 33, 1);
    const plain = tf.ones<tf.Rank.R2>([4, 5]);
    for (const given of [ids, floats]) {
      await expectNoLeak(() => embed(given, table));
      await expectNoLeak(() => embed(given, plain));
      await expectNoLeak(() => tf.grad(x => embed(given, x as tf.Tensor2D))(plain));
    }
    tf.dispose([ids, floats, plain, 'records' in table ? table.records : table]);
  });

  const ifWasm = backend === 'wasm' ? it : () => {};
  ifWasm('is one call of tfjs', async () => {
    const ids = tf.zeros<tf.Rank.R2>([1, 3], 'int32');
    for (const format of ['float32', 'packed8'] as const) {
      const {table} = tableOf(format, 9, 33, 1);
      const {kernels} = await tf.profile(() => embed(ids, table));
      expect(kernels.map(({name}) => name)).to.deep.equal(['EigenkvEmbed']);
      tf.dispose('records' in table ? table.records : table);
    }
    ids.dispose();
  });

  const ifReadable = backend === 'webgpu' ? () => {} : it;
  ifReadable('says which id names no row', () => {
    const leftBefore = tf.memory().numTensors;
    tf.tidy(() => {
      for (const format of ['float32', 'packed4'] as const) {
        const {table} = tableOf(format, 9, 33, 1);
        for (const bad of [-1, 9]) {
          const ids = tf.tensor2d([0, 8, bad, 0], [2, 2], 'int32');
          expect(() => embed(ids, table)).to.throw(InvalidArgumentError, `token 0 of text 1 is ${bad}`);
        }
        for (const bad of [0.5, NaN]) {
          const ids = tf.tensor2d([0, bad], [1, 2]);
          expect(() => embed(ids, table)).to.throw(InvalidArgumentError, `token 1 of text 0 is ${bad}`);
        }
      }
    });
    expect(tf.memory().numTensors).to.equal(leftBefore);
  });
});

/** A table [rows, dim] and its numbers, row by row. */
function tableOf(format: 'float32' | PackedFormat, rows: number, dim: number, seed: number) {
  if (format === 'float32') {
    const values = randomFloats(seed, rows * dim);
    return {table: tf.tensor2d(values, [rows, dim]), values};
  }
  const {matrix, values} = packedMatrix(format, dim, rows, seed);
  const byRow = Float32Array.from(
    {length: rows * dim},
    (_, at) => values[(at % dim) * rows + Math.floor(at / dim)]!,
  );
  return {table: matrix, values: byRow};
}
