import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import type {Partial} from '../../../ops/attention/attend/index.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {describeOnBackends} from '../../support/backends.js';
import {goldenTensor, readGolden, type GoldenArray} from '../../support/golden.js';
import {randomStream} from '../../support/random.js';
import {withReference} from '../../support/reference.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

interface GoldenPartial {
  readonly output: GoldenArray;
  readonly max: GoldenArray;
  readonly sum: GoldenArray;
}

const golden = readGolden('ops/attention.json') as {
  readonly merge: {
    readonly name: string;
    readonly past: GoldenPartial;
    readonly fresh: GoldenPartial;
    readonly merged: GoldenPartial;
    readonly output: GoldenArray;
  }[];
};

describeOnBackends('mergePartials', () => {
  for (const {name, past, fresh, merged, output} of golden.merge) {
    it(`gives the golden output: ${name}`, async () => {
      for (const partials of [[past, fresh], [fresh, past], [merged]]) {
        const joined = tf.tidy(() => mergePartials(partials.map(partialTensor)));
        expect(joined.shape).to.deep.equal(output.shape);
        await expectClose(joined, output.data, 2e-6);
        joined.dispose();
      }
    });
  }

  it('is the weighted mean of any partials, some of them empty', () =>
    fc.assert(
      fc.asyncProperty(mergeCases, async ({count, shape, dim, spread, seed}) => {
        const partials = Array.from({length: count}, (_, i) => randomPartial(seed + i, shape, dim, spread));
        const tensors = partials.map(numbers => tf.tensor4d(numbers, [...shape, dim + 2]));
        const expected = mergeOracle(partials, dim);
        for (const run of [
          mergePartials,
          (x: Partial[]) => withReference('MergePartials', () => mergePartials(x)),
        ]) {
          const joined = run(tensors);
          await expectClose(joined, expected, 5e-6);
          joined.dispose();
        }
        tf.dispose(tensors);
      }),
      {numRuns: 60},
    ));

  it('gives zeros to a query that saw no token in any segment', async () => {
    const empty = tf.tensor4d([7, 7, -Infinity, 0], [1, 1, 1, 4]); // any number if nothing was summed
    const nothing = tf.tensor4d([0, 0, -Infinity, 0], [1, 1, 1, 4]);
    await expectClose(mergePartials([nothing, nothing]), [0, 0], 0);
    await expectClose(mergePartials([nothing]), [0, 0], 0);
    tf.dispose([empty, nothing]);
  });

  it('survives maxima far apart', async () => {
    const high = tf.tensor4d([3, 1e30, 1], [1, 1, 1, 3]);
    const low = tf.tensor4d([5, -1e30, 1], [1, 1, 1, 3]);
    await expectClose(mergePartials([low, high, low]), [3], 0);
    tf.dispose([high, low]);
  });

  it('leaks nothing', () =>
    expectNoLeak(() => {
      const partial = tf.ones<tf.Rank.R4>([1, 2, 3, 6]);
      const joined = mergePartials([partial, partial, partial]);
      partial.dispose();
      return joined;
    }));

  it('refuses no partial, and partials of different shapes', () => {
    expect(() => mergePartials([])).to.throw(InvalidArgumentError, /at least one/);
    const partials = [tf.ones<tf.Rank.R4>([1, 2, 3, 6]), tf.ones<tf.Rank.R4>([1, 2, 3, 5])];
    expect(() => mergePartials(partials)).to.throw(InvalidArgumentError, /\[1, 2, 3, 6\].*\[1, 2, 3, 5\]/);
  });
});

const mergeCases = fc.record({
  count: fc.integer({min: 1, max: 5}),
  shape: fc.tuple(fc.integer({min: 1, max: 2}), fc.integer({min: 1, max: 9}), fc.integer({min: 1, max: 5})),
  dim: fc.integer({min: 1, max: 33}),
  spread: fc.constantFrom(1, 20, 200),
  seed: fc.integer(),
});

/** Rows of [output, max, sum] as attention makes them: sum >= 1, or a row that saw nothing. */
function randomPartial(seed: number, shape: number[], dim: number, spread: number): Float32Array {
  const next = randomStream(seed);
  const rows = shape.reduce((a, b) => a * b, 1);
  const numbers = new Float32Array(rows * (dim + 2));
  for (let row = 0; row < rows; row++) {
    const at = row * (dim + 2);
    if (next() < 0.25) {
      numbers[at + dim] = -Infinity;
      continue;
    }
    const sum = 1 + 30 * next();
    for (let d = 0; d < dim; d++) numbers[at + d] = sum * (2 * next() - 1);
    numbers[at + dim] = spread * (2 * next() - 1);
    numbers[at + dim + 1] = sum;
  }
  return numbers;
}

function mergeOracle(partials: Float32Array[], dim: number): Float64Array {
  const rows = partials[0]!.length / (dim + 2);
  return Float64Array.from({length: rows * dim}, (_, i) => {
    const at = Math.floor(i / dim) * (dim + 2);
    const max = Math.max(...partials.map(numbers => numbers[at + dim]!));
    if (max === -Infinity) return 0;
    let [output, sum] = [0, 0];
    for (const numbers of partials) {
      const weight = Math.exp(numbers[at + dim]! - max);
      output += weight * numbers[at + (i % dim)]!;
      sum += weight * numbers[at + dim + 1]!;
    }
    return output / sum;
  });
}

/** `[output, max, sum]` side by side, as `attend` gives them. */
function partialTensor({output, max, sum}: GoldenPartial): Partial {
  const column = (array: GoldenArray) => goldenTensor({...array, shape: [...array.shape, 1]});
  return tf.concat([goldenTensor(output), column(max), column(sum)], 3);
}
