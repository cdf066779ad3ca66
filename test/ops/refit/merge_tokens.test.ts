import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {mergeTokens} from '../../../ops/refit/merge_tokens.js';
import {describeOnBackends} from '../../support/backends.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

const cases = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  kvHeads: fc.integer({min: 1, max: 3}),
  kept: fc.integer({min: 1, max: 20}),
  /** Tokens of each run of removed ones. */
  runs: fc.array(fc.integer({min: 1, max: 9}), {minLength: 1, maxLength: 3}),
  dim: fc.integer({min: 1, max: 9}),
  dimV: fc.integer({min: 1, max: 9}),
  /** Of the first kept tokens, how many take over none. */
  closed: fc.integer({min: 0, max: 3}),
  hasBias: fc.boolean(),
  seed: fc.integer(),
});

type Case = typeof cases extends fc.Arbitrary<infer One> ? One : never;

describeOnBackends('mergeTokens', () => {
  it('is what its definition says, token by token', () =>
    fc.assert(
      fc.asyncProperty(cases, async one => {
        const numbers = numbersOf(one);
        const {values, bias, changed} = mergeTokens(...tensorsOf(one, numbers));
        const expected = byDefinition(one, numbers);
        await expectClose(values, expected.values, 1e-5, 'values');
        await expectClose(bias, expected.bias, 1e-5, 'bias');
        expect(Array.from(await changed.data(), Boolean)).to.deep.equal(expected.changed);
        tf.dispose([values, bias, changed]);
      }),
      {numRuns: 40},
    ));

  for (const size of [1e-15, 1e15]) {
    it(`gives means of numbers of ${size}, with masses from 1e-30 to 1e6`, async () => {
      const numbers = (seed: number, columns: number) =>
        tf.tensor4d(
          randomFloats(seed, 6 * columns).map(x => x * size),
          [1, 1, 6, columns],
        );
      const mass: tf.Tensor4D = tf.tensor4d([1e-30, 0, 1e6, 1, 1e-12, 1e-6], [1, 1, 6, 1]);
      const nothing: tf.Tensor4D = tf.zeros([1, 1, 6, 1]);
      const kept = {
        keys: numbers(1, 4),
        values: numbers(2, 3),
        mass,
        bias: nothing,
        open: tf.onesLike(nothing),
      };
      const removed = {keys: numbers(3, 4), values: numbers(4, 3), mass};
      const {values, bias, changed} = mergeTokens(kept, [() => removed]);
      const came = await Promise.all([kept, removed].map(of => of.values.data()));
      const largest = Math.max(...came.flatMap(of => [...of]).map(Math.abs));
      for (const value of await values.data()) expect(Math.abs(value)).to.be.at.most(largest * (1 + 1e-6));
      for (const number of await bias.data()) expect(number).to.be.within(0, 1.5);
      tf.dispose([kept, removed, values, bias, changed]);
    });
  }

  it('gives masses of zero a mean of numbers, and leaks nothing', async () => {
    const zeros = (columns: number): tf.Tensor4D => tf.zeros([1, 1, 2, columns]);
    const ones = (columns: number): tf.Tensor4D => tf.ones([1, 1, 2, columns]);
    await expectNoLeak(async () => {
      const kept = {keys: zeros(3), values: ones(3), mass: zeros(1), bias: zeros(1), open: ones(1)};
      const removed = {keys: zeros(3), values: ones(3), mass: ones(1)};
      const {values, bias, changed} = mergeTokens(kept, [() => removed]);
      await expectClose(values, [1, 1, 1, 1, 1, 1], 1e-6);
      await expectClose(bias, [1.5, 0], 1e-6);
      tf.dispose([kept, removed, values, bias, changed]);
    });
  });
});

const sizesOf = ({kept, runs}: Case) => ({kept, removed: runs.reduce((sum, run) => sum + run, 0)});

function numbersOf(one: Case) {
  const {batch, kvHeads, dim, dimV, hasBias, seed} = one;
  const {kept, removed} = sizesOf(one);
  const heads = batch * kvHeads;
  const positive = (count: number, at: number) => randomFloats(seed + at, count).map(x => x * x + 0.01);
  return {
    keys: randomFloats(seed, heads * kept * dim),
    values: randomFloats(seed + 1, heads * kept * dimV),
    mass: positive(heads * kept, 2),
    bias: hasBias ? randomFloats(seed + 3, heads * kept) : new Float32Array(heads * kept),
    removedKeys: randomFloats(seed + 4, heads * removed * dim),
    removedValues: randomFloats(seed + 5, heads * removed * dimV),
    removedMass: positive(heads * removed, 6),
  };
}

type Numbers = ReturnType<typeof numbersOf>;

function tensorsOf(one: Case, numbers: Numbers): Parameters<typeof mergeTokens> {
  const {batch, kvHeads, runs, dim, dimV, closed} = one;
  const {kept, removed} = sizesOf(one);
  const tensor = (x: Float32Array, tokens: number, columns: number) =>
    tf.tensor4d(x, [batch, kvHeads, tokens, columns]);
  const [keys, values, mass] = [
    tensor(numbers.removedKeys, removed, dim),
    tensor(numbers.removedValues, removed, dimV),
    tensor(numbers.removedMass, removed, 1),
  ];
  const open = Float32Array.from(numbers.mass, (_, i) => Number(i % kept >= closed));
  let from = 0;
  return [
    {
      keys: tensor(numbers.keys, kept, dim),
      values: tensor(numbers.values, kept, dimV),
      mass: tensor(numbers.mass, kept, 1),
      bias: tensor(numbers.bias, kept, 1),
      open: tensor(open, kept, 1),
    },
    runs.map(count => {
      const part = (x: tf.Tensor4D, start = from) => tf.slice(x, [0, 0, start, 0], [-1, -1, count, -1]);
      const [partOfKeys, partOfValues, partOfMass] = [part(keys), part(values), part(mass)];
      from += count;
      return () => ({keys: partOfKeys, values: partOfValues, mass: partOfMass});
    }),
  ];
}

/** In double precision. */
function byDefinition(one: Case, numbers: Numbers) {
  const {batch, kvHeads, dim, dimV, closed} = one;
  const {kept, removed} = sizesOf(one);
  const values = Array.from(numbers.values);
  const bias = Array.from(numbers.bias);
  const changed = bias.map(() => false);
  for (let head = 0; head < batch * kvHeads; head++) {
    const taken = Array.from({length: kept}, (): number[] => []);
    for (let j = head * removed; j < (head + 1) * removed; j++) {
      const distances = Array.from({length: kept}, (_, c) => {
        if (c < closed) return Infinity;
        const differences = Array.from(
          {length: dim},
          (_d, d) => numbers.removedKeys[j * dim + d]! - numbers.keys[(head * kept + c) * dim + d]!,
        );
        return differences.reduce((sum, x) => sum + x * x, 0);
      });
      const least = Math.min(...distances);
      if (least < Infinity) taken[distances.indexOf(least)]!.push(j);
    }
    for (const [c, others] of taken.entries()) {
      if (others.length === 0) continue;
      const at = head * kept + c;
      const own = numbers.mass[at]!;
      const whole = others.reduce((sum, j) => sum + numbers.removedMass[j]!, own);
      for (let d = 0; d < dimV; d++) {
        const weighted = others.reduce(
          (sum, j) => sum + numbers.removedMass[j]! * numbers.removedValues[j * dimV + d]!,
          own * values[at * dimV + d]!,
        );
        values[at * dimV + d] = weighted / whole;
      }
      bias[at] = Math.min(bias[at]! + Math.log(whole / own), Math.max(bias[at]!, 1.5));
      changed[at] = true;
    }
  }
  return {values, bias, changed};
}
