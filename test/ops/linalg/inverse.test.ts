import {expect} from 'chai';
import {inverses} from '../../../ops/linalg/inverse.js';
import {multiply64} from '../../../ops/linalg/matrix64.js';
import {randomFloats} from '../../support/random.js';

describe('inverses', () => {
  const [count, dim] = [3, 8];

  it('are inverses, whatever the scales of rows are', () => {
    for (const scaleOf of [() => 1, (row: number) => 10 ** (row - 4)]) {
      const matrices = randomFloats(1, count * dim * dim).map(
        (x, at) => x * scaleOf(Math.floor(at / dim) % dim),
      );
      const inverted = inverses(matrices, count, dim)!;
      for (let i = 0; i < count; i++) {
        const part = (of: Float32Array) => of.subarray(i * dim * dim, (i + 1) * dim * dim);
        multiply64(part(matrices), part(inverted), dim, dim, dim).forEach((number, at) => {
          const [row, column] = [Math.floor(at / dim), at % dim];
          const error = Math.abs(number - (row === column ? 1 : 0));
          expect(error * (scaleOf(column) / scaleOf(row)), `${row}, ${column}`).to.be.below(1e-4);
        });
      }
    }
  });

  it('are undefined if one matrix has none, exactly or but for rounding', () => {
    const matrices = randomFloats(2, count * dim * dim);
    for (const factor of [0, 1, 0.1, 1 / 3]) {
      const singular = matrices.slice();
      for (let i = 0; i < dim; i++) singular[dim * dim + i] = factor * singular[dim * dim + 3 * dim + i]!;
      expect(inverses(singular, count, dim), String(factor)).to.equal(undefined);
    }
    matrices[0] = NaN;
    expect(inverses(matrices, count, dim)).to.equal(undefined);
  });
});
