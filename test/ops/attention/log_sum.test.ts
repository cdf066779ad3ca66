import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import type {Partial} from '../../../ops/attention/attend/index.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {describeOnBackends} from '../../support/backends.js';
import {randomStream} from '../../support/random.js';
import {withReference} from '../../support/reference.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

describeOnBackends('partialLogSum', backend => {
  // WGSL allows a logarithm near 1 to be off by 2^-21 = 4.8e-7; llvmpipe was off by 6.6e-7 with the rest
  const tolerance = backend === 'webgpu' ? 2e-6 : 5e-7;

  const cases = fc.record({
    count: fc.integer({min: 1, max: 4}),
    rows: fc.integer({min: 1, max: 9}),
    dim: fc.integer({min: 1, max: 5}),
    spread: fc.constantFrom(0, 1, 50, 1e4),
    seed: fc.integer(),
  });

  it('is the logarithm of all that was summed', () =>
    fc.assert(
      fc.asyncProperty(cases, async ({count, rows, dim, spread, seed}) => {
        const next = randomStream(seed);
        // rows of [output, max, sum]: the sum of a partial is at least 1, or it saw nothing
        const states = Array.from({length: count * rows}, () =>
          next() < 0.2 ? [-Infinity, 0] : [spread * (2 * next() - 1), 1 + 10 ** (6 * next()) - 1],
        ).map(state => state.map(Math.fround));
        const partials = Array.from({length: count}, (_, p) =>
          tf.tensor4d(
            states
              .slice(p * rows, (p + 1) * rows)
              .flatMap(state => [...Array<number>(dim).fill(NaN), ...state]),
            [1, 1, rows, dim + 2],
          ),
        );
        const expected = Float64Array.from({length: rows}, (_, row) => {
          const seen = Array.from({length: count}, (__, p) => states[p * rows + row]!);
          const max = Math.max(...seen.map(([m]) => m!));
          if (max === -Infinity) return -Infinity;
          return max + Math.log(seen.reduce((sum, [m, l]) => sum + Math.exp(m! - max) * l!, 0));
        });
        const run = () => partialLogSum(partials);
        for (const logSum of [run(), withReference('PartialLogSum', run)]) {
          expect(logSum.shape).to.deep.equal([1, 1, rows, 1]);
          await expectClose(logSum, expected, tolerance);
          logSum.dispose();
        }
        tf.dispose(partials);
      }),
      {numRuns: 100},
    ));

  it('leaks nothing', async () => {
    const partial: Partial = tf.ones([1, 2, 3, 6]);
    await expectNoLeak(() => partialLogSum([partial, partial]));
    partial.dispose();
  });

  it('refuses no partial, and partials of different shapes', () => {
    expect(() => partialLogSum([])).to.throw(InvalidArgumentError, /at least one/);
    const partials: Partial[] = [tf.ones([1, 2, 3, 6]), tf.ones([1, 2, 3, 5])];
    expect(() => partialLogSum(partials)).to.throw(InvalidArgumentError, /\[1, 2, 3, 6\].*\[1, 2, 3, 5\]/);
    tf.dispose(partials);
  });
});
