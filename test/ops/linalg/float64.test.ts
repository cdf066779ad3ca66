import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {eigh64} from '../../../ops/linalg/float64.js';
import {readGolden, type GoldenArray} from '../../support/golden.js';

interface Float64Golden {
  readonly eigen: {
    readonly name: string;
    readonly x: GoldenArray;
    readonly values: GoldenArray;
    readonly vectors: GoldenArray;
    readonly simple: number[];
  }[];
}

const golden = readGolden('linalg/linalg.json') as Float64Golden;
/** The inputs are float32 numbers, the golden results have twelve digits. */
const exactly = (array: GoldenArray) => Float64Array.from(array.data, Math.fround);

describe('eigh64', () => {
  for (const {name, x, values, vectors, simple} of golden.eigen) {
    it(`gives the golden eigenvalues and vectors: ${name}`, () => {
      const dim = x.shape[0]!;
      const found = eigh64(exactly(x), dim);
      const size = Math.max(...values.data.map(Math.abs), Number.MIN_VALUE);
      for (let i = 0; i < dim; i++) {
        expect(found.values[i]! / size, `value ${i}`).to.be.closeTo(values.data[i]! / size, 1e-11);
      }
      for (const i of simple) {
        for (let at = i * dim; at < (i + 1) * dim; at++) {
          expect(found.vectors[at]!, `component ${at % dim} of vector ${i}`).to.be.closeTo(
            vectors.data[at]!,
            1e-11,
          );
        }
      }
    });
  }

  it('takes numbers whose squares leave float64', () => {
    const x = [2, 1, 0, 1, 3, 1, 0, 1, 4];
    const {values, vectors} = eigh64(x, 3);
    for (const scale of [2 ** 1000, 2 ** -1000]) {
      const found = eigh64(
        x.map(number => number * scale),
        3,
      );
      expect(found.values).to.deep.equal(values.map(value => value * scale));
      expect(found.vectors).to.deep.equal(vectors);
    }
    expect([...eigh64(new Float64Array(4), 2).values]).to.deep.equal([0, 0]);
  });

  it('says what it does not take', () => {
    expect(() => eigh64([1, 2, 3], 2)).to.throw(InvalidArgumentError, '3 numbers for a matrix [2, 2]');
    expect(() => eigh64([], 0)).to.throw(InvalidArgumentError, '[0, 0]');
    expect(() => eigh64([1, 2, NaN, 4], 2)).to.throw(InvalidArgumentError, 'NaN in row 1, column 0');
  });
});
