import {expect} from 'chai';
import fc from 'fast-check';
import {type Side} from '../../../models/compress/error_curves.js';
import {givenRanks, thresholdRanks, uniformRanks, waterFilledRanks} from '../../../models/compress/ranks.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {rejection} from '../../base/files/rejection.js';

/** A side whose directions are worth these, the largest first. */
function sideOf(depth: number, side: 'keys' | 'values', worths: readonly number[], sensitivity = 1): Side {
  const sorted = [...worths].sort((a, b) => b - a);
  const errors = Float64Array.from({length: sorted.length + 1}, (_, rank) =>
    sorted.slice(rank).reduce((sum, worth) => sum + worth, 0),
  );
  return {depth, side, errors, sensitivity};
}

const cost = (sides: readonly Side[], ranks: readonly number[]) =>
  sides.reduce((sum, {errors, sensitivity}, i) => sum + sensitivity * errors[ranks[i]!]!, 0);

describe('allotment of ranks', () => {
  it('uniform: a share of the head everywhere, never beyond it', () => {
    expect(uniformRanks(3, 64, 0.4)).to.deep.equal({keys: [25, 25, 25], values: [25, 25, 25]});
    expect(uniformRanks(1, 10, 0.7)).to.deep.equal({keys: [7], values: [7]}); // 0.7 * 10 is a little below 7
    expect(uniformRanks(1, 8, 0.01)).to.deep.equal({keys: [1], values: [1]});
  });

  it('water-filling finds the best of all allotments of a budget', () => {
    const worths = fc.array(fc.double({min: 0.01, max: 10, noNaN: true}), {minLength: 3, maxLength: 3});
    fc.assert(
      fc.property(
        fc.array(worths, {minLength: 4, maxLength: 4}),
        fc.array(fc.double({min: 0.1, max: 5, noNaN: true}), {minLength: 4, maxLength: 4}),
        fc.integer({min: 4, max: 12}),
        (curves, sensitivities, budget) => {
          const sides = curves.map((curve, i) =>
            sideOf(Math.floor(i / 2), i % 2 === 0 ? 'keys' : 'values', curve, sensitivities[i]),
          );
          const {keys, values} = waterFilledRanks(sides, 3, budget / 12);
          const found = [keys[0]!, values[0]!, keys[1]!, values[1]!];
          expect(found.reduce((a, b) => a + b)).to.equal(budget);
          let best = Infinity;
          for (let code = 0; code < 81; code++) {
            const ranks = [1, 3, 9, 27].map(power => 1 + (Math.floor(code / power) % 3));
            if (ranks.reduce((a, b) => a + b) <= budget) best = Math.min(best, cost(sides, ranks));
          }
          expect(cost(sides, found)).to.be.closeTo(best, 1e-9);
        },
      ),
      {numRuns: 60, seed: 5},
    );
  });

  it('water-filling allots fours where heads divide by four, and stays within the budget', () => {
    const sides = (['keys', 'values'] as const).map(side =>
      sideOf(
        0,
        side,
        Array.from({length: 16}, (_, i) => (side === 'keys' ? 5 : 1) * 0.7 ** i),
      ),
    );
    const {keys, values} = waterFilledRanks(sides, 16, 0.6);
    expect([keys[0]! % 4, values[0]! % 4]).to.deep.equal([0, 0]);
    expect(keys[0]! + values[0]!)
      .to.be.at.most(0.6 * 32)
      .and.above(0.6 * 32 - 4);
    expect(keys[0]).to.be.above(values[0]!);
    expect(waterFilledRanks(sides, 16, 1)).to.deep.equal({keys: [16], values: [16]});
  });

  it("the threshold loop goes down while the measured error is within the budget, as Eigen Attention's", async () => {
    // depth 0 loses half of its energy with each direction; depth 1 has all of it in one
    const sides = [
      sideOf(0, 'keys', [0.5, 0.25, 0.125, 0.125]),
      sideOf(0, 'values', [0.5, 0.25, 0.125, 0.125]),
      sideOf(1, 'keys', [1, 0, 0, 0]),
      sideOf(1, 'values', [1, 0, 0, 0]),
    ];
    const tried: string[] = [];
    const measure = (depth: number, keys: number, values: number) => {
      tried.push(`${depth}: ${keys} ${values}`);
      return Promise.resolve(depth === 0 ? (4 - Math.min(keys, values)) / 10 : 0);
    };
    expect(await thresholdRanks(sides, 4, 0.15, measure)).to.deep.equal({keys: [3, 1], values: [3, 1]});
    expect(tried).to.deep.equal(['0: 3 3', '0: 2 2', '1: 1 1']);
    expect(await thresholdRanks(sides, 4, 0.01, measure)).to.deep.equal({keys: [4, 1], values: [4, 1]});
  });

  it('refuses shares, budgets and ranks that are none', async () => {
    for (const ratio of [0, 1.01, -1, NaN]) {
      expect(() => uniformRanks(1, 8, ratio)).to.throw(InvalidArgumentError, /ratio/);
      expect(() => waterFilledRanks([], 8, ratio)).to.throw(InvalidArgumentError, /ratio/);
    }
    await rejection(
      thresholdRanks([], 8, 0, () => Promise.resolve(0)),
      InvalidArgumentError,
      /errorBudget = 0/,
    );
    expect(givenRanks({keys: 3, values: [1, 8]}, 2, 8)).to.deep.equal({keys: [3, 3], values: [1, 8]});
    expect(() => givenRanks({keys: 9, values: 1}, 2, 8)).to.throw(InvalidArgumentError, /ranks.keys has 9/);
    expect(() => givenRanks({keys: 1, values: [1]}, 2, 8)).to.throw(InvalidArgumentError, /1 numbers/);
  });
});
