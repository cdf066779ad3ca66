import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../../base/errors.js';
import {updateSvd, type SvdUpdate, type Spectrum} from '../../../ops/linalg/update_svd.js';
import {describeOnBackends} from '../../support/backends.js';
import {readGolden, type GoldenArray} from '../../support/golden.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

interface FoldGolden {
  readonly fold: {
    readonly name: string;
    readonly limit: number;
    readonly steps: {
      readonly block: GoldenArray;
      readonly squares: GoldenArray;
      /** B^T B: which space the basis spans, whatever the signs. */
      readonly projection: GoldenArray;
      readonly discarded: number;
    }[];
    /** The tokens as they are known at the end, C B, and their squared error. */
    readonly known: GoldenArray;
    readonly error: number;
  }[];
}

const golden = readGolden('linalg/linalg.json') as FoldGolden;

/** An update with the coefficients of all tokens so far. */
type Factors = SvdUpdate & {all: tf.Tensor3D};

describeOnBackends('updateSvd', () => {
  for (const {name, limit, steps, known, error} of golden.fold) {
    it(`equals a singular value decomposition of [C B ; X] at each step, in two heads at once: ${name}`, async () => {
      let past: Factors | undefined;
      let discarded = 0;
      for (const [step, expected] of steps.entries()) {
        // the second head is the first, twice as large
        const block = tf.tidy(() => inHeads(expected.block, [1, 2]));
        const now = fold(past, block, limit);
        const what = `step ${step}`;
        await expectClose(now.squares, inHeadsFlat(expected.squares.data, [1, 4]), 2e-6, what);
        const projection = tf.matMul(now.basis, now.basis, true);
        await expectClose(projection, inHeadsFlat(expected.projection.data, [1, 1]), 5e-5, what);
        await expectClose(now.discarded, [expected.discarded, 4 * expected.discarded], 5e-6, what);
        await expectDiagonal(now);
        discarded += (await now.discarded.data())[0]!;
        disposeFactors(past);
        tf.dispose([block, projection]);
        past = now;
      }
      const product = tf.matMul(past!.all, past!.basis);
      await expectClose(product, inHeadsFlat(known.data, [1, 2]), 2e-5);
      expect(discarded).to.be.closeTo(error, 1e-5);
      product.dispose();
      disposeFactors(past);
    });
  }

  it('of a low-rank stream is exact over many updates: nothing is discarded, and C B is the stream', async () => {
    const [heads, dim, rank] = [3, 24, 5];
    const mixing = tf.tensor3d(randomFloats(1, heads * rank * dim), [heads, rank, dim]);
    const blocks = Array.from({length: 12}, (_, i) =>
      tf.matMul<tf.Tensor3D>(tf.tensor3d(randomFloats(i + 2, heads * 7 * rank), [heads, 7, rank]), mixing),
    );
    let past: Factors | undefined;
    for (const block of blocks) {
      const now = fold(past, block, rank);
      disposeFactors(past);
      past = now;
      for (const energy of await now.discarded.data()) expect(energy).to.be.within(0, 2e-3); // of about 3,000
    }
    const rest = tf.tidy(() => tf.sub(tf.matMul(past!.all, past!.basis), tf.concat(blocks, 1)));
    await expectClose(rest, new Float32Array(rest.size), 2e-4);
    disposeFactors(past);
    tf.dispose([mixing, rest, ...blocks]);
  });

  it('reports as discarded exactly the squared error, and keeps an orthonormal basis, for any stream', () =>
    fc.assert(
      fc.asyncProperty(
        fc.record({
          dim: fc.integer({min: 1, max: 12}),
          counts: fc.array(fc.integer({min: 1, max: 9}), {minLength: 1, maxLength: 5}),
          limit: fc.integer({min: 1, max: 14}),
          seed: fc.nat(),
        }),
        async ({dim, counts, limit, seed}) => {
          const blocks = counts.map((count, i) =>
            tf.tensor3d(randomFloats(seed + i, 2 * count * dim), [2, count, dim]),
          );
          let past: Factors | undefined;
          let rank = 0;
          const discarded = [0, 0];
          for (const [i, block] of blocks.entries()) {
            const now = fold(past, block, limit);
            disposeFactors(past);
            past = now;
            rank = Math.min(limit, rank + counts[i]!, dim);
            expect(now.basis.shape).to.deep.equal([2, rank, dim]);
            const overlaps = tf.matMul(now.basis, now.basis, false, true);
            await expectClose(overlaps, inHeadsFlat(await tf.eye(rank).data(), [1, 1]), 2e-6);
            overlaps.dispose();
            (await now.discarded.data()).forEach((energy, head) => (discarded[head]! += energy));
          }
          const errors = tf.tidy(() => {
            const rest = tf.sub(tf.matMul(past!.all, past!.basis), tf.concat(blocks, 1));
            return tf.sum(tf.square(rest), [1, 2]);
          });
          await expectClose(errors, discarded, 1e-4);
          disposeFactors(past);
          tf.dispose([errors, ...blocks]);
        },
      ),
      {numRuns: 25},
    ));

  it('takes zeros, before and after other tokens', async () => {
    const zeros = tf.zeros<tf.Rank.R3>([1, 3, 4]);
    const block = tf.tensor3d([1, 2, 3, 4, 4, 3, 2, 1], [1, 2, 4]);
    const first = fold(undefined, zeros, 2);
    const second = fold(first, block, 2);
    const third = fold(second, zeros, 2);
    const product = tf.matMul(third.all, third.basis);
    await expectClose(
      product,
      [...Array<number>(12).fill(0), ...(await block.data()), ...Array<number>(12).fill(0)],
      5e-6,
    );
    await expectClose(third.squares, second.squares, 1e-6);
    [first, second, third].forEach(disposeFactors);
    tf.dispose([zeros, block, product]);
  });

  it('starts alike from nothing and from a spectrum of rank 0', async () => {
    const block = tf.tensor3d(randomFloats(4, 24), [2, 3, 4]);
    const empty: Spectrum = {basis: tf.zeros([2, 0, 4]), squares: tf.zeros([2, 0])};
    const [a, b] = [updateSvd(undefined, block, 2), updateSvd(empty, block, 2)];
    for (const name of ['basis', 'squares', 'coefficients', 'discarded'] as const) {
      await expectClose(b[name], a[name], 0);
    }
    expect(a.rotation.shape).to.deep.equal([2, 0, 2]);
    expect(b.rotation.shape).to.deep.equal([2, 0, 2]);
    tf.dispose([block, ...Object.values(a), ...Object.values(b), ...Object.values(empty)]);
  });

  it('leaks nothing, and leaves its inputs alone', async () => {
    const block = tf.tensor3d(randomFloats(4, 40), [2, 4, 5]);
    const past = updateSvd(undefined, block, 3);
    await expectNoLeak(() => updateSvd(undefined, block, 5));
    await expectNoLeak(() => updateSvd(past, block, 3));
    for (const tensor of [block, ...Object.values(past)]) expect(tensor.isDisposed).to.equal(false);
    tf.dispose([block, ...Object.values(past)]);
  });

  it('says what does not fit', () => {
    const block = tf.ones<tf.Rank.R3>([2, 4, 5]);
    const past = updateSvd(undefined, block, 3);
    for (const limit of [0, 1.5, NaN]) {
      expect(() => updateSvd(past, block, limit)).to.throw(InvalidArgumentError, `rankLimit = ${limit}`);
    }
    expect(() => updateSvd(past, tf.ones([2, 0, 5]), 3)).to.throw(InvalidArgumentError, '[2, 0, 5]');
    for (const shape of [
      [1, 4, 5],
      [2, 4, 6],
    ] as const) {
      expect(() => updateSvd(past, tf.ones([...shape]), 3)).to.throw(
        InvalidArgumentError,
        'basis [2, 3, 5] with squares [2, 3]',
      );
    }
  });
});

/** What a cache does with an update: C' = [C R ; C_X]. */
function fold(past: Factors | undefined, block: tf.Tensor3D, limit: number): Factors {
  const now = updateSvd(past, block, limit);
  if (past === undefined) return {...now, all: tf.clone(now.coefficients)};
  const rotated = tf.matMul<tf.Tensor3D>(past.all, now.rotation);
  const all = tf.concat([rotated, now.coefficients], 1);
  rotated.dispose();
  return {...now, all};
}

/** C^T C = diag(s^2), the invariant that the next update builds on. */
async function expectDiagonal({all, squares}: Factors): Promise<void> {
  const gram = tf.matMul(all, all, true);
  const [heads, rank] = squares.shape;
  const numbers = await squares.data();
  const expected = Float32Array.from({length: heads * rank * rank}, (_, at) => {
    const [row, column] = [Math.floor(at / rank), at % rank];
    return row % rank === column ? numbers[row]! : 0;
  });
  const size = Math.max(...numbers, 1);
  const scaled = tf.div(gram, size);
  await expectClose(
    scaled,
    expected.map(value => value / size),
    2e-6,
  );
  tf.dispose([gram, scaled]);
}

function disposeFactors(factors: Factors | undefined): void {
  if (factors !== undefined) tf.dispose(Object.values(factors));
}

/** One golden matrix as a stack of heads, each times its factor. */
function inHeads({data, shape}: GoldenArray, factors: number[]): tf.Tensor3D {
  return tf.tensor3d(inHeadsFlat(data, factors), [factors.length, shape[0]!, shape[1]!]);
}

function inHeadsFlat(data: ArrayLike<number>, factors: number[]): number[] {
  return factors.flatMap(factor => Array.from(data, value => value * factor));
}
