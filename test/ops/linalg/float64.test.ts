import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {eigh64, svd64} from '../../../ops/linalg/float64.js';
import {readGolden, type GoldenArray} from '../../support/golden.js';
import {randomFloats} from '../../support/random.js';

interface Float64Golden {
  readonly eigen: {
    readonly name: string;
    readonly x: GoldenArray;
    readonly values: GoldenArray;
    readonly vectors: GoldenArray;
    readonly simple: number[];
  }[];
  readonly svd: {readonly name: string; readonly x: GoldenArray; readonly s: GoldenArray}[];
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

  it('says what it does not take', () => {
    expect(() => eigh64([1, 2, 3], 2)).to.throw(InvalidArgumentError, '3 numbers for a matrix [2, 2]');
    expect(() => eigh64([], 0)).to.throw(InvalidArgumentError, '[0, 0]');
    expect(() => eigh64([1, 2, NaN, 4], 2)).to.throw(InvalidArgumentError, 'NaN in row 1, column 0');
  });
});

describe('svd64', () => {
  for (const {name, x, s} of golden.svd) {
    it(`gives the golden singular values, and factors that multiply to the matrix: ${name}`, () => {
      const [rows, columns] = x.shape as [number, number];
      const matrix = exactly(x);
      const found = svd64(matrix, rows, columns);
      const size = Math.max(...s.data, Number.MIN_VALUE);
      expect(found.s.length).to.equal(s.data.length);
      for (const [i, value] of s.data.entries()) {
        expect(found.s[i]! / size, `singular value ${i}`).to.be.closeTo(value / size, 1e-11);
      }
      expectFactors(matrix, found, rows, columns);
    });
  }

  it('finds small singular values that a Gram matrix loses', () => {
    // diag(1, 1e-6, 1e-12) between two rotations
    const [a, b] = [rotation(0.3), rotation(1.1)];
    const x = multiply(multiply(a, [1, 0, 0, 0, 1e-6, 0, 0, 0, 1e-12], 3), b, 3);
    const {s} = svd64(x, 3, 3);
    expect(s[0]!).to.be.closeTo(1, 1e-14);
    expect(s[1]! / 1e-6).to.be.closeTo(1, 1e-9);
    expect(s[2]! / 1e-12).to.be.closeTo(1, 1e-3);
  });

  it('makes the leading component of each row of vt positive', () => {
    const {vt, s} = svd64(randomFloats(3, 40), 8, 5);
    for (let i = 0; i < s.length; i++) {
      const row = [...vt.subarray(i * 5, (i + 1) * 5)];
      expect(Math.max(...row)).to.equal(Math.max(...row.map(Math.abs)));
    }
  });

  it('says what it does not take', () => {
    expect(() => svd64([1, 2, 3], 2, 2)).to.throw(InvalidArgumentError, '3 numbers for a matrix [2, 2]');
    expect(() => svd64([1, 2, 3, Infinity, 5, 6], 2, 3)).to.throw(InvalidArgumentError, 'row 1, column 0');
  });
});

/** u diag(s) vt = x, and orthonormal columns of u and rows of vt. */
function expectFactors(
  x: Float64Array,
  {u, s, vt}: ReturnType<typeof svd64>,
  rows: number,
  columns: number,
): void {
  const k = s.length;
  const size = Math.max(s[0]!, Number.MIN_VALUE);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let r = 0; r < k; r++) sum += u[i * k + r]! * (s[r]! / size) * vt[r * columns + j]!;
      expect(sum, `number ${i}, ${j}`).to.be.closeTo(x[i * columns + j]! / size, 1e-12);
    }
  }
  for (let a = 0; a < k; a++) {
    for (let b = 0; b < k; b++) {
      let [left, right] = [0, 0];
      for (let i = 0; i < rows; i++) left += u[i * k + a]! * u[i * k + b]!;
      for (let j = 0; j < columns; j++) right += vt[a * columns + j]! * vt[b * columns + j]!;
      expect(left, `u ${a}, ${b}`).to.be.closeTo(a === b ? 1 : 0, 1e-12);
      expect(right, `vt ${a}, ${b}`).to.be.closeTo(a === b ? 1 : 0, 1e-12);
    }
  }
}

/** About the axis (1, 1, 1) / sqrt 3 (Rodrigues' formula): no component is zero. */
function rotation(angle: number): number[] {
  const [c, s] = [Math.cos(angle), Math.sin(angle) / Math.sqrt(3)];
  const t = (1 - c) / 3;
  return [c + t, t - s, t + s, t + s, c + t, t - s, t - s, t + s, c + t];
}

function multiply(a: number[], b: number[], dim: number): number[] {
  return a.map((_, at) => {
    const [i, j] = [Math.floor(at / dim), at % dim];
    return Array.from({length: dim}, (_, k) => a[i * dim + k]! * b[k * dim + j]!).reduce((x, y) => x + y, 0);
  });
}
