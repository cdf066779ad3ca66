import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {coefficients} from '../../ops/low_rank/coefficients.js';
import {expandPartial, project} from '../../ops/low_rank/index.js';
import {describeOnBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';
import {withHostReference, withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

const shapes = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  kvHeads: fc.integer({min: 1, max: 3}),
  group: fc.integer({min: 1, max: 3}),
  tokens: fc.integer({min: 1, max: 9}),
  dim: fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(32, 64)),
  rank: fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(32)),
  seed: fc.integer(),
});

describeOnBackends('low rank', () => {
  it('projects each head on the basis of its key head', () =>
    fc.assert(
      fc.asyncProperty(shapes, async ({batch, kvHeads, group, tokens, dim, rank, seed}) => {
        const heads = kvHeads * group;
        const [x, basis] = [
          randomFloats(seed, batch * heads * tokens * dim),
          randomFloats(seed + 1, batch * kvHeads * rank * dim),
        ];
        const expected = Float64Array.from({length: batch * heads * tokens * rank}, (_, at) => {
          const row = Math.floor(at / rank);
          const kvHead = Math.floor(row / tokens / group);
          let sum = 0;
          for (let d = 0; d < dim; d++)
            sum += x[row * dim + d]! * basis[(kvHead * rank + (at % rank)) * dim + d]!;
          return sum;
        });
        const inputs = [
          tf.tensor4d(x, [batch, heads, tokens, dim]),
          tf.tensor4d(basis, [batch, kvHeads, rank, dim]),
        ] as const;
        for (const z of [project(...inputs), withReference('Project', () => project(...inputs))]) {
          expect(z.shape).to.deep.equal([batch, heads, tokens, rank]);
          await expectClose(z, expected, 1e-5);
          z.dispose();
        }
        tf.dispose([...inputs]);
      }),
      {numRuns: 40},
    ));

  it('solves for the coefficients in a basis whose vectors are not orthogonal', () =>
    fc.assert(
      fc.asyncProperty(shapes, fc.constantFrom(1, 2, 4, 8, 16), async (shape, quarter) => {
        const {batch, kvHeads, seed} = shape;
        const [heads, dim, tokens] = [batch * kvHeads, 4 * quarter, 3 * shape.tokens];
        // vectors of sizes from 1 to 1/1000, the large ones anywhere; the first is nearly zero where a pivot would be
        const rows = randomFloats(seed + 1, heads * dim * dim).map((number, at) => {
          const row = Math.floor(at / dim) % dim;
          return at % (dim * dim) === 0 ? 1e-6 * number : number * 10 ** ((-3 * ((row * 7) % dim)) / dim);
        });
        const x = tf.tensor4d(randomFloats(seed, heads * tokens * dim), [batch, kvHeads, tokens, dim]);
        const basis = tf.tensor4d(rows, [batch, kvHeads, dim, dim]);
        const run = () => coefficients(x, basis);
        for (const z of [run(), ...withHostReference('Coefficients', run)]) {
          const [numbers, wanted] = [await z.data(), await x.data()];
          for (let head = 0; head < heads; head++) {
            for (let at = head * tokens * dim; at < (head + 1) * tokens * dim; at++) {
              let [sum, magnitude] = [0, 0];
              for (let c = 0; c < dim; c++) {
                const product = numbers[at - (at % dim) + c]! * rows[(head * dim + c) * dim + (at % dim)]!;
                sum += product;
                magnitude += Math.abs(product);
              }
              // the backward error of elimination
              expect(sum).to.be.closeTo(wanted[at]!, 4 * dim * 2 ** -24 * magnitude);
            }
          }
          z.dispose();
        }
        tf.dispose([x, basis]);
      }),
      {numRuns: 30},
    ));

  it('expands partials: output basis + sum mean, max + shift, sum', () =>
    fc.assert(
      fc.asyncProperty(shapes, fc.subarray(['basis', 'mean', 'shift'] as const), async (shape, parts) => {
        const {batch, kvHeads, group, tokens, rank, seed} = shape;
        const has = (part: (typeof parts)[number]) => parts.includes(part);
        const heads = kvHeads * group;
        const dim = has('basis') ? shape.dim : rank;
        const rows = batch * heads * tokens;
        const partial = randomFloats(seed, rows * (rank + 2));
        const basis = randomFloats(seed + 1, batch * kvHeads * rank * dim);
        const mean = randomFloats(seed + 2, batch * kvHeads * dim);
        const shift = randomFloats(seed + 3, rows);
        const expected = Float64Array.from({length: rows * (dim + 2)}, (_, at) => {
          const [row, i] = [Math.floor(at / (dim + 2)), at % (dim + 2)];
          const of = row * (rank + 2);
          const kvHead = Math.floor(row / tokens / group);
          const sum = partial[of + rank + 1]!;
          if (i === dim + 1) return sum;
          if (i === dim) return partial[of + rank]! + (has('shift') ? shift[row]! : 0);
          let output = has('mean') ? sum * mean[kvHead * dim + i]! : 0;
          if (!has('basis')) return output + partial[of + i]!;
          for (let r = 0; r < rank; r++) output += partial[of + r]! * basis[(kvHead * rank + r) * dim + i]!;
          return output;
        });
        const tensors = tf.tidy(() => ({
          partial: tf.tensor4d(partial, [batch, heads, tokens, rank + 2]),
          basis: tf.tensor4d(basis, [batch, kvHeads, rank, dim]),
          mean: tf.tensor4d(mean, [batch, kvHeads, 1, dim]),
          shift: tf.tensor4d(shift, [batch, heads, tokens, 1]),
        }));
        const run = () =>
          expandPartial(tensors.partial, Object.fromEntries(parts.map(part => [part, tensors[part]])));
        for (const expanded of [run(), withReference('ExpandPartial', run)]) {
          expect(expanded.shape).to.deep.equal([batch, heads, tokens, dim + 2]);
          await expectClose(expanded, expected, 1e-5);
          if (parts.length > 0) expanded.dispose();
        }
        tf.dispose(tensors);
      }),
      {numRuns: 60},
    ));

  it('keeps the maximum of a query that saw no token at -Infinity', async () => {
    const expanded = tf.tidy(() =>
      expandPartial(tf.tensor4d([0, 0, -Infinity, 0], [1, 1, 1, 4]), {
        basis: tf.ones([1, 1, 2, 3]),
        mean: tf.ones([1, 1, 1, 3]),
        shift: tf.ones([1, 1, 1, 1]),
      }),
    );
    await expectClose(expanded, [0, 0, 0, -Infinity, 0], 0);
    expanded.dispose();
  });

  it('leaks nothing', async () => {
    const [x, basis] = [tf.ones<tf.Rank.R4>([1, 4, 3, 8]), tf.ones<tf.Rank.R4>([1, 2, 6, 8])];
    await expectNoLeak(() => project(x, basis));
    await expectNoLeak(() => expandPartial(x, {basis}));
    tf.dispose([x, basis]);
  });

  it('refuses a basis that does not fit', () => {
    const ones = (...shape: [number, number, number, number]): tf.Tensor4D => tf.ones(shape);
    for (const basis of [ones(2, 2, 3, 8), ones(1, 3, 3, 8), ones(1, 2, 3, 7)]) {
      expect(() => project(ones(1, 4, 3, 8), basis)).to.throw(InvalidArgumentError, basis.shape.join(', '));
    }
  });
});
