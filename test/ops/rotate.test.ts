import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {rotate, rotateBoth, type Rotation} from '../../ops/rotate/index.js';
import {describeOnBackends} from '../support/backends.js';
import {goldenTensor, readGolden, type GoldenArray} from '../support/golden.js';
import {numericGradient} from '../support/numeric_gradient.js';
import {randomFloats} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

const golden = readGolden('ops/attention.json') as {
  readonly rotation: {
    readonly name: string;
    readonly input: GoldenArray;
    readonly cos: GoldenArray;
    readonly sin: GoldenArray;
    readonly halves: GoldenArray;
    readonly interleaved: GoldenArray;
  }[];
};

describeOnBackends('rotate', () => {
  for (const {name, input, cos, sin, ...expected} of golden.rotation) {
    for (const layout of ['halves', 'interleaved'] as const) {
      it(`gives the golden output, ${layout}: ${name}`, async () => {
        const table = ({data, shape}: GoldenArray) => tf.tensor2d(data, shape as [number, number]);
        const y = tf.tidy(() =>
          rotate(goldenTensor(input), {
            cos: table(cos),
            sin: table(sin),
            interleaved: layout === 'interleaved',
          }),
        );
        await expectClose(y, expected[layout].data, 1e-6);
        y.dispose();
      });
    }
  }

  it('rotates each pair by its angle and leaves the rest, for any shape', () =>
    fc.assert(
      fc.asyncProperty(rotateCases, async rotateCase => {
        const {x, rotation, numbers} = inputsOf(rotateCase);
        const expected = rotateOracle(rotateCase, numbers.x);
        for (const run of [
          rotate,
          (a: tf.Tensor4D, r: Rotation) => withReference('Rotate', () => rotate(a, r)),
        ]) {
          const y = run(x, rotation);
          await expectClose(y, expected, 1e-6);
          y.dispose();
        }
        tf.dispose([x, rotation.cos, rotation.sin]);
      }),
      {numRuns: 60},
    ));

  it('gives queries and keys of other heads as it gives each of them, gradients too', async () => {
    const shared = {batch: 2, tokens: 4, pairs: 3, rest: 1, interleaved: false, magnitude: 1, seed: 4};
    const {x: queries, rotation} = inputsOf({...shared, heads: 6});
    const {x: keys} = inputsOf({...shared, heads: 2});
    const each = (q: tf.Tensor4D, k: tf.Tensor4D) => [rotate(q, rotation), rotate(k, rotation)];
    const both = (q: tf.Tensor4D, k: tf.Tensor4D) => rotateBoth(q, k, rotation);
    const gradients = (run: typeof each) =>
      tf.grads((q, k) => {
        const [first, second] = run(q as tf.Tensor4D, k as tf.Tensor4D);
        return tf.add(tf.sum(tf.square(first!)), tf.sum(tf.sin(second!)));
      })([queries, keys]);
    for (const [actual, expected] of [
      [both(queries, keys), each(queries, keys)],
      [withReference('Rotate', () => both(queries, keys)), each(queries, keys)],
      [gradients(both), gradients(each)],
    ]) {
      for (const i of [0, 1]) await expectClose(actual![i]!, expected![i]!, 1e-6);
      tf.dispose([actual, expected]);
    }
    const other = tf.ones<tf.Rank.R4>([2, 2, 5, 7]);
    expect(() => rotateBoth(queries, other, rotation)).to.throw(InvalidArgumentError, /does not fit keys/);
    tf.dispose([queries, keys, other, rotation.cos, rotation.sin]);
  });

  it('has the gradient that differences give, through a rotation that scales, too', async () => {
    for (const interleaved of [false, true]) {
      const rotateCase = {
        batch: 1,
        heads: 2,
        tokens: 3,
        pairs: 2,
        rest: 1,
        interleaved,
        magnitude: 1.25,
        seed: 5,
      };
      const {x, rotation, numbers} = inputsOf(rotateCase);
      const weights = randomFloats(9, numbers.x.length);
      const loss = (at: ArrayLike<number>) =>
        rotateOracle(rotateCase, at).reduce((sum, value, i) => sum + value * weights[i]!, 0);
      const gradient = tf.tidy(() => {
        const weight = tf.tensor(weights, x.shape);
        return tf.grad(y => tf.sum(tf.mul(rotate(y as tf.Tensor4D, rotation), weight)))(x);
      });
      await expectClose(gradient, numericGradient(loss, Float64Array.from(numbers.x)), 2e-6);
      tf.dispose([x, rotation.cos, rotation.sin, gradient]);
    }
  });

  it('leaks nothing, with its gradient', () =>
    expectNoLeak(() => {
      const {x, rotation} = inputsOf({
        batch: 1,
        heads: 2,
        tokens: 3,
        pairs: 2,
        rest: 1,
        interleaved: false,
        magnitude: 1,
        seed: 1,
      });
      const gradient = tf.grad(y => tf.sum(rotate(y as tf.Tensor4D, rotation)))(x);
      tf.dispose([x, rotation.cos, rotation.sin]);
      return gradient;
    }));

  it('refuses what does not fit', () => {
    const tables = (tokens: number, pairs: number) => ({
      cos: tf.ones<tf.Rank.R2>([tokens, pairs]),
      sin: tf.ones<tf.Rank.R2>([tokens, pairs]),
    });
    const x = tf.ones<tf.Rank.R4>([1, 2, 3, 5]);
    expect(() => rotate(x, tables(4, 2))).to.throw(InvalidArgumentError, /tokens must be equal/);
    expect(() => rotate(x, tables(3, 3))).to.throw(InvalidArgumentError, /at most half of dim/);
    expect(() => rotate(x, {...tables(3, 2), sin: tf.ones([3, 1])})).to.throw(InvalidArgumentError);
    const rank3: tf.Tensor = tf.ones([2, 3, 5]);
    expect(() => rotate(rank3 as tf.Tensor4D, tables(3, 2))).to.throw(InvalidArgumentError, /four axes/);
  });
});

const rotateCases = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  heads: fc.integer({min: 1, max: 5}),
  tokens: fc.integer({min: 1, max: 6}),
  pairs: fc.oneof(fc.integer({min: 1, max: 9}), fc.constantFrom(16, 32)),
  /** Channels after the pairs, which are not rotated. */
  rest: fc.integer({min: 0, max: 5}),
  interleaved: fc.boolean(),
  magnitude: fc.constantFrom<number>(1, 1.25), // YaRN's factor on cosines and sines
  seed: fc.integer(),
});

type RotateCase = typeof rotateCases extends fc.Arbitrary<infer Case> ? Case : never;

function inputsOf({batch, heads, tokens, pairs, rest, interleaved, magnitude, seed}: RotateCase) {
  const dim = 2 * pairs + rest;
  const numbers = {
    x: randomFloats(seed, batch * heads * tokens * dim),
    ...tablesOf(tokens * pairs, magnitude, seed),
  };
  const table = (values: Float32Array) => tf.tensor2d(values, [tokens, pairs]);
  const rotation = {cos: table(numbers.cos), sin: table(numbers.sin), interleaved};
  return {x: tf.tensor4d(numbers.x, [batch, heads, tokens, dim]), rotation, numbers};
}

function tablesOf(length: number, magnitude: number, seed: number) {
  const angles = randomFloats(seed + 1, length, Math.PI);
  return {cos: angles.map(a => magnitude * Math.cos(a)), sin: angles.map(a => magnitude * Math.sin(a))};
}

/** Complex multiplication, pair by pair. */
function rotateOracle(rotateCase: RotateCase, x: ArrayLike<number>): Float64Array {
  const {tokens, pairs, rest, interleaved, magnitude, seed} = rotateCase;
  const {cos, sin} = tablesOf(tokens * pairs, magnitude, seed);
  const dim = 2 * pairs + rest;
  const out = Float64Array.from(x);
  for (let row = 0; row < x.length / dim; row++) {
    for (let pair = 0; pair < pairs; pair++) {
      const first = row * dim + (interleaved ? 2 * pair : pair);
      const second = row * dim + (interleaved ? 2 * pair + 1 : pair + pairs);
      const at = (row % tokens) * pairs + pair;
      out[first] = x[first]! * cos[at]! - x[second]! * sin[at]!;
      out[second] = x[second]! * cos[at]! + x[first]! * sin[at]!;
    }
  }
  return out;
}
