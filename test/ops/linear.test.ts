import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {linear, linears} from '../../ops/linear/index.js';
import {describeOnBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

// Few rows are multiplied as they lie, more in tiles of four rows and eight columns and in blocks: sizes on both sides of each border.
const cases = fc.record({
  rows: fc.oneof(fc.integer({min: 0, max: 20}), fc.constantFrom(127, 128, 129, 131)),
  inputs: fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(127, 129, 255, 256, 257, 513)),
  outputs: fc.oneof(
    {arbitrary: fc.integer({min: 1, max: 40}), weight: 4},
    fc.constantFrom(2047, 2049, 8191, 8192, 8193),
  ),
  count: fc.integer({min: 1, max: 3}),
  hasBias: fc.boolean(),
  hasResidual: fc.boolean(),
  seed: fc.integer(),
});

describeOnBackends('linear', backend => {
  it('is x W + b + residual by its definition, and its kernel its reference', () =>
    fc.assert(
      fc.asyncProperty(cases, async ({rows, inputs, outputs, count, hasBias, hasResidual, seed}) => {
        const size = rows * inputs * outputs > 1e6 ? 32 : outputs; // or the definition takes seconds
        const x = randomFloats(seed, rows * inputs);
        const residual = hasResidual ? randomFloats(seed + 1, rows * size) : undefined;
        const products = Array.from({length: hasResidual ? 1 : count}, (_, i) => ({
          w: randomFloats(seed + 10 * i + 2, inputs * (size + i)),
          bias: hasBias ? randomFloats(seed + 10 * i + 3, size + i) : undefined,
        }));
        const run = () =>
          tf.tidy(() => {
            const input = tf.tensor2d(x, [rows, inputs]);
            const list = products.map(({w, bias}, i) => ({
              matrix: tf.tensor2d(w, [inputs, size + i]),
              bias: bias && tf.tensor1d(bias),
            }));
            if (residual === undefined) return linears(input, list);
            const {matrix, bias} = list[0]!;
            return [linear(input, matrix, {bias, residual: tf.tensor2d(residual, [rows, size])})];
          });
        const results = run();
        const references = withReference('Linear', run);
        for (const [i, {w, bias}] of products.entries()) {
          const expected = productOf(x, w, inputs, size + i, bias, residual);
          expect(results[i]!.shape).to.deep.equal([rows, size + i]);
          for (const result of [results[i]!, references[i]!])
            await expectWithinBound(result, expected, inputs + 4);
        }
        tf.dispose([results, references]);
      }),
      {numRuns: backend === 'webgpu' ? 8 : 60}, // software takes seconds for each there
    ));

  it('takes numbers in any shape, and gives them in one that is asked for', async () => {
    const x = tf.randomNormal([2, 3, 1, 4]); // heads of one token
    const kernel = tf.randomNormal<tf.Rank.R2>([12, 10]);
    const bias = tf.randomNormal([10]);
    const plain = linear(tf.reshape(x, [2, 12]), kernel, {bias});
    const shaped = linear(x, kernel, {bias, shape: [2, 5, 1, 2]});
    expect(shaped.shape).to.deep.equal([2, 5, 1, 2]);
    await expectClose(await shaped.data(), await plain.data(), 0);
    tf.dispose([x, kernel, bias, plain, shaped]);
  });

  it('has the gradients dy W^T, x^T dy and the sum of dy', async () => {
    const [x, kernel, bias] = [[2, 3, 1, 4], [12, 10], [10]].map(shape => tf.randomNormal(shape));
    const dy = tf.randomNormal([2, 5, 1, 2]);
    const own = (...[a, w, b]: tf.Tensor[]) =>
      tf.sum(tf.mul(linear(a!, w!, {bias: b, shape: [2, 5, 1, 2]}), dy));
    const plain = (...[a, w, b]: tf.Tensor[]) =>
      tf.sum(
        tf.mul(
          tf.reshape(tf.add(tf.matMul(tf.reshape(a!, [2, 12]), w as tf.Tensor2D), b!), [2, 5, 1, 2]),
          dy,
        ),
      );
    const gradients = tf.grads(own)([x!, kernel!, bias!]);
    const expected = tf.grads(plain)([x!, kernel!, bias!]);
    for (const [i, gradient] of gradients.entries()) await expectClose(gradient, expected[i]!, 1e-5);
    tf.dispose([x!, kernel!, bias!, dy, ...gradients, ...expected]);
  });

  it('gives no numbers for no rows', () => {
    expect(linear(tf.zeros([0, 3]), tf.ones([3, 2])).shape).to.deep.equal([0, 2]);
  });

  it('leaks nothing, with its gradient', async () => {
    const [x, kernel, bias] = [tf.ones([2, 3]), tf.ones([3, 2]), tf.ones([2])];
    await expectNoLeak(() => linear(x, kernel));
    await expectNoLeak(() => tf.tidy(() => linear(x, kernel, {bias})));
    await expectNoLeak(() => tf.grads((a, w) => linear(a, w, {bias}))([x, kernel]));
  });

  it('gives no results for no products', () => {
    expect(linears(tf.ones([2, 3]), [])).to.deep.equal([]);
  });

  it('keeps NaN and infinities in their rows and columns', async () => {
    for (const rows of [1, 2, 4, 9]) {
      const [x, w] = [new Float32Array(rows * 7).fill(1), new Float32Array(7 * 11).fill(1)];
      x[6] = NaN; // in row 0
      w[3 * 11 + 10] = Infinity; // in column 10
      const result = linear(tf.tensor2d(x, [rows, 7]), tf.tensor2d(w, [7, 11]));
      const numbers = [...(await result.data())];
      const expected = numbers.map((_, at) => (at < 11 ? NaN : at % 11 === 10 ? Infinity : 7));
      expect(numbers).to.deep.equal(expected);
      result.dispose();
    }
  });

  it('says what does not fit', () => {
    const [x, w] = [tf.ones([2, 3]), tf.ones([3, 5])];
    for (const [what, run] of [
      ['[2, 4]', () => linear(tf.ones([2, 4]), w)],
      ['[in, out]', () => linear(x, tf.ones([3]))],
      ['for all products', () => linears(x, [{matrix: w}, {matrix: tf.ones([2, 4])}])],
      ['shape [2, 4]', () => linear(x, w, {shape: [2, 4]})],
      ['bias of a product is float32 [4]', () => linear(x, w, {bias: tf.ones([4])})],
      ['residual of a product is float32 [2, 3]', () => linear(x, w, {residual: x})],
      ['x of a product is int32 [2, 3]', () => linear(tf.ones([2, 3], 'int32'), w)],
      ['kernel of a product is bool [3, 5]', () => linear(x, tf.ones([3, 5], 'bool'))],
    ] as const) {
      expect(run, what).to.throw(InvalidArgumentError, what);
    }
  });
});

/** x w + bias + residual in float64, and the sums of the magnitudes of the terms. */
function productOf(
  x: Float32Array,
  w: Float32Array,
  inputs: number,
  outputs: number,
  bias?: Float32Array,
  residual?: Float32Array,
): {sum: Float64Array; magnitude: Float64Array} {
  const size = (x.length / inputs) * outputs;
  const [sum, magnitude] = [new Float64Array(size), new Float64Array(size)];
  for (let at = 0; at < size; at++) {
    const [row, out] = [Math.floor(at / outputs), at % outputs];
    const add = (term: number) => {
      sum[at]! += term;
      magnitude[at]! += Math.abs(term);
    };
    for (let i = 0; i < inputs; i++) add(x[row * inputs + i]! * w[i * outputs + out]!);
    add(bias?.[out] ?? 0);
    add(residual?.[at] ?? 0);
  }
  return {sum, magnitude};
}

/** Expects each number within `roundings` roundings of float32 of all its terms. */
async function expectWithinBound(
  actual: tf.Tensor,
  {sum, magnitude}: {sum: Float64Array; magnitude: Float64Array},
  roundings: number,
): Promise<void> {
  const numbers = await actual.data();
  expect(numbers.length).to.equal(sum.length);
  for (const [at, number] of numbers.entries()) {
    const allowed = roundings * 2 ** -24 * magnitude[at]!;
    if (!(Math.abs(number - sum[at]!) <= allowed)) {
      expect.fail(`number ${at} is ${number}; expected ${sum[at]!} within ${allowed}`);
    }
  }
}
