import {expect} from 'chai';
import {multiply64} from '../../../ops/linalg/matrix64.js';
import {solve64} from '../../../ops/linalg/solve64.js';
import {randomFloats} from '../../support/random.js';

describe('solve64', () => {
  it('solves systems for several right sides, also where pivots are zero', () => {
    for (const dim of [1, 2, 5, 32]) {
      const a = Float64Array.from(randomFloats(dim, dim * dim));
      if (dim > 1) a.fill(0, 0, 1).fill(0, dim, dim + 1); // the first two of the first column
      if (dim === 2) a.set([0, 3, -2, 0]);
      const x = Float64Array.from(randomFloats(dim + 1, dim * 3));
      const solved = solve64(a, multiply64(a, x, dim, dim, 3), dim, 3);
      solved.forEach((number, at) => expect(number, `${dim}: ${at}`).to.be.closeTo(x[at]!, 1e-11));
    }
    expect(solve64([], [], 0, 3)).to.have.length(0);
  });

  it('gives numbers that are not finite for a singular matrix', () => {
    for (const a of [
      [0, 0, 0, 0],
      [1, 2, 2, 4],
      [0, 1, 0, 1],
    ]) {
      expect([...solve64(a, [1, 3], 2, 1)].every(Number.isFinite), String(a)).to.equal(false);
    }
  });
});
