import {expect} from 'chai';
import fc from 'fast-check';
import {type BasisMethod, basisMethods, keyBasis, orderedBasis} from '../../../models/compress/bases.js';
import {rotatedMetric} from '../../../models/compress/rotated_metric.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {multiply64, transpose64} from '../../../ops/linalg/matrix64.js';
import {type GoldenArray, readGolden} from '../../support/golden.js';
import {randomFloats} from '../../support/random.js';

interface Golden {
  readonly theta: number;
  readonly keys: GoldenArray;
  readonly queries: GoldenArray;
  readonly values: GoldenArray;
  readonly outputs: GoldenArray;
  readonly keyErrors: Record<Exclude<BasisMethod, 'fisher'>, GoldenArray>;
  readonly valueErrors: Record<'svd' | 'kqSvd', GoldenArray>;
  readonly metrics: readonly {
    readonly weights: 'uniform' | 'falling';
    readonly interleaved: boolean;
    readonly rotaryDim: number;
    readonly metric: GoldenArray;
  }[];
}

const golden = readGolden('compress/bases.json') as Golden;

/** X^T X of `[rows, dim]`. */
function gramOf(x: ArrayLike<number>, dim: number): Float64Array {
  const rows = x.length / dim;
  return multiply64(transpose64(x, rows, dim), x, dim, rows, dim);
}

/** Relative to the largest of the expected numbers. */
function expectNear(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  const largest = Array.from(expected).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  expect(actual.length).to.equal(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(actual[i]! - expected[i]!), `number ${i}`).to.be.at.most(tolerance * largest);
  }
}

/** ||K E^T D Q^T - K Q^T||_F^2 with the first r directions, from the features themselves. */
function measuredError(
  {encode, decode, dim}: ReturnType<typeof orderedBasis>,
  keys: ArrayLike<number>,
  queries: ArrayLike<number>,
  rank: number,
): number {
  const [tokens, rows] = [keys.length / dim, queries.length / dim];
  const latents = multiply64(keys, transpose64(encode, dim, dim), tokens, dim, dim);
  const met = multiply64(queries, transpose64(decode, dim, dim), rows, dim, dim);
  let sum = 0;
  for (let t = 0; t < tokens; t++) {
    for (let q = 0; q < rows; q++) {
      let difference = 0;
      for (let i = 0; i < dim; i++) {
        if (i < rank) difference += latents[t * dim + i]! * met[q * dim + i]!;
        difference -= keys[t * dim + i]! * queries[q * dim + i]!;
      }
      sum += difference ** 2;
    }
  }
  return sum;
}

describe('bases of low-rank attention', () => {
  const dim = golden.keys.shape[1]!;
  const queryGram = gramOf(golden.queries.data, dim);

  for (const method of ['svd', 'eigen', 'kqSvd'] as const) {
    it(`keys by ${method}: the errors of NumPy's scores`, () => {
      const basis = keyBasis(method, {keys: gramOf(golden.keys.data, dim), queries: queryGram}, dim, {
        ridge: 0,
      });
      expectNear(basis.errors, golden.keyErrors[method].data, 1e-9);
    });
  }

  for (const method of ['svd', 'kqSvd'] as const) {
    it(`values by ${method}: the errors of NumPy's outputs`, () => {
      const [group = 0, , model = 0] = golden.outputs.shape;
      const metric = new Float64Array(dim * dim);
      for (let head = 0; head < group; head++) {
        const w = golden.outputs.data.slice(head * dim * model, (head + 1) * dim * model);
        const gram = multiply64(w, transpose64(w, dim, model), dim, model, dim);
        gram.forEach((x, i) => (metric[i]! += x));
      }
      const basis = orderedBasis(method, gramOf(golden.values.data, dim), metric, dim, {ridge: 0});
      expectNear(basis.errors, golden.valueErrors[method].data, 1e-9);
    });
  }

  for (const {weights, interleaved, rotaryDim, metric} of golden.metrics) {
    it(`the metric of unrotated keys: ${weights}, ${rotaryDim} channels, interleaved ${interleaved}`, () => {
      const averaged = rotatedMetric({theta: golden.theta, interleaved, rotaryDim}, dim, weights);
      expectNear(averaged(queryGram), metric.data, 1e-10);
    });
  }

  it('predicts what the features show, at every rank and by every method (random features)', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...basisMethods),
        fc.integer({min: 2, max: 12}),
        fc.nat(1000),
        fc.nat(12),
        (method, size, seed, wanted) => {
          const rank = Math.min(wanted, size);
          const keys = randomFloats(seed, 30 * size);
          const queries = randomFloats(seed + 5000, 50 * size);
          const queryGram = gramOf(queries, size);
          const basis = keyBasis(method, {keys: gramOf(keys, size), queries: queryGram}, size, {
            gradients: queryGram,
          });
          expect(basis.costs).to.deep.equal(basis.errors);
          const measured = measuredError(basis, keys, queries, rank);
          expect(Math.abs(measured - basis.errors[rank]!)).to.be.at.most(1e-7 * basis.errors[0]!);
        },
      ),
      {numRuns: 40, seed: 3},
    );
  });

  it('kqSvd: the measured error is the Eckart-Young tail, to 1e-4 relative', () => {
    const [keys, queries] = [randomFloats(1, 300 * 16), randomFloats(2, 900 * 16)];
    const basis = keyBasis('kqSvd', {keys: gramOf(keys, 16), queries: gramOf(queries, 16)}, 16, {ridge: 0});
    for (const rank of [1, 4, 8, 15]) {
      expect(measuredError(basis, keys, queries, rank) / basis.errors[rank]!).to.be.closeTo(1, 1e-4);
    }
    expect(basis.errors[16]).to.equal(0);
  });

  it('fisher has the least cost that any method has, at every rank', () => {
    const [keys, queries] = [randomFloats(11, 60 * 8), randomFloats(12, 90 * 8)];
    const grams = {keys: gramOf(keys, 8), queries: gramOf(queries, 8)};
    const gradients = gramOf(
      randomFloats(13, 50 * 8).map((x, i) => x * 0.7 ** (i % 8)),
      8,
    );
    const [best, ...others] = (['fisher', 'svd', 'eigen', 'kqSvd'] as const).map(
      method => keyBasis(method, grams, 8, {gradients, ridge: 0, metricShare: 0}).costs!,
    );
    for (const costs of others) {
      for (let rank = 1; rank < 8; rank++) expect(best![rank]).to.be.below(costs[rank]!);
    }
    expect(() => keyBasis('fisher', grams, 8)).to.throw(InvalidArgumentError, /the calibration has none/);
  });

  it('on synthetic grouped heads kqSvd is below eigen, eigen below svd', () => {
    // keys and queries with strong directions of their own, as ALGORITHMS' check has them: d 64, 4 query heads
    const size = 64;
    const stretched = (seed: number, rows: number, strength: (i: number) => number) =>
      randomFloats(seed, rows * size).map((x, i) => x * strength(i % size));
    const keys = stretched(1, 400, i => 0.93 ** i);
    const queries = stretched(2, 1600, i => 0.93 ** ((i * 37) % size));
    const grams = {keys: gramOf(keys, size), queries: gramOf(queries, size)};
    const errorOf = (method: BasisMethod) => keyBasis(method, grams, size).errors[16]!;
    expect(errorOf('kqSvd')).to.be.below(0.98 * errorOf('eigen'));
    expect(errorOf('eigen')).to.be.below(0.98 * errorOf('svd'));
  });

  it('of a Gram matrix of few tokens: exact from their number on, at finite directions', () => {
    const [keys, queries] = [randomFloats(3, 4 * 10), randomFloats(4, 3 * 10)];
    for (const method of basisMethods) {
      const queryGram = gramOf(queries, 10);
      const basis = keyBasis(method, {keys: gramOf(keys, 10), queries: queryGram}, 10, {
        gradients: queryGram,
      });
      expect([...basis.encode, ...basis.decode].every(Number.isFinite), method).to.equal(true);
      const exactFrom = method === 'eigen' ? 7 : 4;
      expect(basis.errors[exactFrom]!, method).to.be.at.most(1e-6 * basis.errors[0]!);
    }
    const nothing = keyBasis('kqSvd', {keys: new Float64Array(9), queries: new Float64Array(9)}, 3);
    expect([...nothing.errors]).to.deep.equal([0, 0, 0, 0]);
    expect(nothing.decode.every(Number.isFinite)).to.equal(true);
  });

  it('refuses what is no number', () => {
    const nan = Float64Array.of(1, 0, 0, NaN);
    expect(() => orderedBasis('svd', nan, Float64Array.of(1, 0, 0, 1), 2)).to.throw(InvalidArgumentError);
    expect(() => orderedBasis('kqSvd', Float64Array.of(1, 0, 0, 1), nan, 2)).to.throw(InvalidArgumentError);
    expect(() =>
      orderedBasis('kqSvd', Float64Array.of(1, 0, 0, 1), Float64Array.of(1, 0, 0, 1), 2, {ridge: -1}),
    ).to.throw(InvalidArgumentError, /ridge = -1/);
    expect(() => rotatedMetric({theta: 100}, 4)(new Float64Array(9))).to.throw(InvalidArgumentError);
  });
});
