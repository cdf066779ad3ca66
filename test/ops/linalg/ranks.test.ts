import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../../base/errors.js';
import {attentionEntropy, effectiveRank, renyi2Entropy, stableRank} from '../../../ops/linalg/ranks.js';
import {describeOnBackends} from '../../support/backends.js';
import {goldenTensor, readGolden, type GoldenArray} from '../../support/golden.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

interface RankGolden {
  readonly ranks: {readonly s: number[]; readonly ranks: Record<string, number>; readonly stable: number}[];
  readonly entropy: {
    readonly weights: GoldenArray;
    readonly shannon: GoldenArray;
    readonly renyi2: GoldenArray;
  };
}

const golden = readGolden('linalg/linalg.json') as RankGolden;

describe('effectiveRank and stableRank', () => {
  for (const {s, ranks, stable} of golden.ranks) {
    it(`give the golden ranks of ${s.length} singular values from ${s[0]!} on, in any order and at any scale`, () => {
      for (const values of [
        s,
        [...s].reverse(),
        s.map(value => value * 1e200),
        s.map(value => value * 1e-200),
      ]) {
        for (const [energy, rank] of Object.entries(ranks)) {
          expect(effectiveRank(values, Number(energy)), `at ${energy}`).to.equal(rank);
        }
        expect(effectiveRank(values)).to.equal(ranks['0.99']);
        expect(stableRank(values)).to.be.closeTo(stable, 1e-9);
      }
    });
  }

  it('are 0 for zeros and for no singular values', () => {
    for (const values of [[], [0], new Float32Array(5)]) {
      expect(effectiveRank(values)).to.equal(0);
      expect(stableRank(values)).to.equal(0);
    }
  });

  it('effectiveRank is the smallest that holds the energy', () =>
    fc.assert(
      fc.property(
        fc.array(fc.double({min: 0, max: 1e3, noNaN: true}), {minLength: 1, maxLength: 20}),
        fc.double({min: 1e-3, max: 1, noNaN: true}),
        (values, energy) => {
          const squares = values.map(value => value ** 2).sort((a, b) => b - a);
          const total = squares.reduce((a, b) => a + b, 0);
          fc.pre(total > 1e-100);
          const kept = (rank: number) => squares.slice(0, rank).reduce((a, b) => a + b, 0) / total;
          const rank = effectiveRank(values, energy);
          expect(kept(rank)).to.be.at.least(energy - 1e-9);
          if (rank > 0) expect(kept(rank - 1)).to.be.below(energy + 1e-9);
        },
      ),
    ));

  it('at energy 1 count every singular value that is not zero', () => {
    expect(effectiveRank([0.1, 0.2, 0.3, 0.7, 0, 0], 1)).to.equal(4);
  });

  it('say what they do not take', () => {
    for (const energy of [0, -1, 1.01, NaN]) {
      expect(() => effectiveRank([1], energy)).to.throw(InvalidArgumentError, `energy = ${energy}`);
    }
    for (const value of [-1, NaN, Infinity]) {
      expect(() => effectiveRank([1, value])).to.throw(InvalidArgumentError, `singular value 1 is ${value}`);
      expect(() => stableRank([1, value])).to.throw(InvalidArgumentError, `singular value 1 is ${value}`);
    }
    // what has no length would be an empty list, of rank 0
    for (const [given, named] of [
      [tf.tensor1d([3, 1]), 'a tensor'],
      [5, '5'],
      [undefined, 'undefined'],
      [null, 'null'],
    ] as const) {
      const values = given as unknown as Float32Array;
      expect(() => effectiveRank(values)).to.throw(InvalidArgumentError, `effectiveRank got ${named}`);
      expect(() => stableRank(values)).to.throw(InvalidArgumentError, `stableRank got ${named}`);
    }
  });
});

describeOnBackends('entropies of attention', () => {
  it('give the golden values', async () => {
    const weights = goldenTensor(golden.entropy.weights);
    const [shannon, renyi2] = [attentionEntropy(weights), renyi2Entropy(weights)];
    expect(shannon.shape).to.deep.equal(golden.entropy.shannon.shape);
    expect(renyi2.shape).to.deep.equal(golden.entropy.renyi2.shape);
    await expectClose(shannon, golden.entropy.shannon.data, 2e-6);
    await expectClose(renyi2, golden.entropy.renyi2.data, 2e-6);
    tf.dispose([weights, shannon, renyi2]);
  });

  it('are 0 for one token and for a query that sees nothing, and ln n for n equal weights', async () => {
    const weights = tf.tensor2d([0, 1, 0, 0, 0, 0, 0, 0, 0.25, 0.25, 0.25, 0.25], [3, 4]);
    const [shannon, renyi2] = [attentionEntropy(weights), renyi2Entropy(weights)];
    await expectClose(shannon, [0, 0, Math.log(4)], 1e-6);
    await expectClose(renyi2, [0, 0, Math.log(4)], 1e-6);
    tf.dispose([weights, shannon, renyi2]);
  });

  it('leak nothing', async () => {
    const weights = tf.tensor2d([0.5, 0.5], [1, 2]);
    await expectNoLeak(() => [attentionEntropy(weights), renyi2Entropy(weights)]);
    weights.dispose();
  });
});
