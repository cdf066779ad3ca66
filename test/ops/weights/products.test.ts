import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../../base/errors.js';
import {type LinearOptions, linear, linears} from '../../../ops/linear/index.js';
import {type PackedFormat, inputsOfRecord, packedFormats} from '../../../ops/weights/formats.js';
import type {PackedMatrix} from '../../../ops/weights/matrix.js';
import {describeOnKernelBuilds} from '../../support/kernel_builds.js';
import {packedMatrix} from '../../support/packed_matrix.js';
import {randomFloats} from '../../support/random.js';
import {withScratchGuards} from '../../support/scratch_guards.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

const formats = Object.keys(packedFormats) as PackedFormat[];
const hasCodes = (format: PackedFormat) => packedFormats[format].bits < 16;

interface Case {
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly hasBias: boolean;
  readonly hasResidual: boolean;
  /** Standard deviation of the numbers. */
  readonly spread: number;
  /** Of the first number of each row, which is then the largest. */
  readonly outlier: number;
  readonly seed: number;
}

const usual = {hasBias: false, hasResidual: false, spread: 1, outlier: 0};
const cases: fc.Arbitrary<Case> = fc.record({
  rows: fc.oneof(fc.constant(1), fc.integer({min: 1, max: 20})),
  inputs: fc.integer({min: 1, max: 70}),
  outputs: fc.integer({min: 1, max: 40}),
  hasBias: fc.boolean(),
  hasResidual: fc.boolean(),
  spread: fc.constantFrom(1, 1e-20, 1e20, 1e-29, 1e-33, 1e-42, 1e36, 0),
  outlier: fc.constantFrom(0, 1, 1e4, 3e38),
  seed: fc.integer(),
});

const large: Case[] = [
  {...usual, rows: 1, inputs: 1536, outputs: 576, hasResidual: true, seed: 1},
  {...usual, rows: 7, inputs: 576, outputs: 1000, hasBias: true, seed: 2},
  {...usual, rows: 300, inputs: 200, outputs: 70, hasBias: true, hasResidual: true, seed: 3},
];

describeOnKernelBuilds('products with packed weights', build => {
  for (const format of formats) {
    for (const activations of format === 'packed4' ? (['int16', 'int8'] as const) : (['int16'] as const)) {
      const levels = activations === 'int8' && build === 'relaxed' ? 127 : 32767;

      it(`of ${format} by ${activations} are within their bound of float64`, async () => {
        for (const one of large) await expectWithinBound(format, one, activations, levels);
        await fc.assert(
          fc.asyncProperty(cases, one => expectWithinBound(format, one, activations, levels)),
          {numRuns: 200},
        );
      });

      it(`of ${format} by ${activations} do not depend on the rows beside a row`, async () => {
        const [rows, inputs, outputs] = [11, 130, 20];
        const {matrix} = packedMatrix(format, inputs, outputs, 1);
        const x = tf.tensor2d(randomFloats(2, rows * inputs), [rows, inputs]);
        const alone = tf.tidy(() =>
          tf.concat(tf.split(x, rows).map(row => linear(row, matrix, {activations}))),
        );
        for (const count of [2, 3, 4, rows]) {
          const together = tf.tidy(() => linear(tf.slice(x, 0, count), matrix, {activations}));
          const expected = tf.slice(alone, 0, count);
          // sums of integers are exact, and blocks are added in the same order
          await expectClose(together, expected, hasCodes(format) ? 0 : 1e-5, `${count} rows`);
          tf.dispose([together, expected]);
        }
        tf.dispose([matrix.records, x, alone]);
      });

      it(`of ${format} by ${activations} say NaN for a row that has NaN or infinity, and for no other`, async () => {
        const [rows, inputs, outputs] = [6, 70, 9];
        const {matrix} = packedMatrix(format, inputs, outputs, 3);
        for (const bad of [NaN, Infinity, -Infinity]) {
          for (const at of [0, 31, 69]) {
            const numbers = randomFloats(4, rows * inputs);
            const before = await productOf(numbers, rows, matrix, {activations});
            numbers[2 * inputs + at] = bad;
            const after = await productOf(numbers, rows, matrix, {activations});
            const row = after.splice(2 * outputs, outputs);
            before.splice(2 * outputs, outputs);
            expect(row.every(hasCodes(format) ? Number.isNaN : value => !Number.isFinite(value))).to.be.true;
            expect(after).to.deep.equal(before);
          }
        }
        matrix.records.dispose();
      });
    }
  }

  it('of one x are what each is alone, whatever their formats', async () => {
    for (const rows of [1, 5]) {
      const x = tf.tensor2d(randomFloats(7, rows * 70), [rows, 70]);
      const list = formats.map((format, i) => ({
        matrix: packedMatrix(format, 70, 9 + i, i).matrix,
        bias: i % 2 === 0 ? tf.tensor1d(randomFloats(i, 9 + i)) : undefined,
      }));
      for (const activations of ['int16', 'int8'] as const) {
        const results = withScratchGuards(() => linears(x, list, {activations}));
        for (const [i, {matrix, bias}] of list.entries()) {
          const alone = linear(x, matrix, {bias, activations});
          await expectClose(results[i]!, alone, 0, matrix.format);
          alone.dispose();
        }
        tf.dispose(results);
      }
      tf.dispose([
        x,
        ...list.flatMap(({matrix, bias}) => (bias ? [matrix.records, bias] : [matrix.records])),
      ]);
    }
  });

  it('by int8 are those by int16 without relaxed SIMD, and others with it', async () => {
    const {matrix} = packedMatrix('packed4', 64, 16, 5);
    const numbers = randomFloats(6, 64);
    const [words, bytes] = await Promise.all(
      (['int16', 'int8'] as const).map(activations => productOf(numbers, 1, matrix, {activations})),
    );
    if (build === 'plain') expect(bytes).to.deep.equal(words);
    else expect(bytes).not.to.deep.equal(words);
    matrix.records.dispose();
  });

  it('give no numbers for no rows, and leak nothing', async () => {
    for (const format of formats) {
      const {matrix} = packedMatrix(format, 33, 9, 1);
      const [x, none] = [tf.ones([3, 33]), tf.zeros([0, 33])];
      const empty = linear(none, matrix);
      expect(empty.shape).to.deep.equal([0, 9]);
      await expectNoLeak(() => linear(x, matrix));
      await expectNoLeak(() => linears(x, [{matrix}, {matrix}]));
      tf.dispose([x, none, empty, matrix.records]);
    }
  });

  it('need one number of inputs', () => {
    const list = [66, 33].map(inputs => ({matrix: packedMatrix('packed8', inputs, 8, 1).matrix}));
    const x = tf.ones([2, 66]);
    expect(() => linears(x, list)).to.throw(InvalidArgumentError, 'same `in`');
    tf.dispose([x, ...list.map(({matrix}) => matrix.records)]);
  });
});

async function productOf(
  numbers: Float32Array,
  rows: number,
  matrix: PackedMatrix,
  options: LinearOptions,
): Promise<number[]> {
  const result = tf.tidy(() => linear(tf.tensor2d(numbers, [rows, numbers.length / rows]), matrix, options));
  const values = [...(await result.data())];
  result.dispose();
  return values;
}

/** Compares `linear` with sums in float64, and with guards around its scratch memory. */
async function expectWithinBound(
  format: PackedFormat,
  {rows, inputs, outputs, hasBias, hasResidual, spread, outlier, seed}: Case,
  activations: 'int16' | 'int8',
  levels: number,
): Promise<void> {
  const {matrix, values, magnitudes} = packedMatrix(format, inputs, outputs, seed);
  const numbers = randomFloats(seed + 1, rows * inputs, spread);
  if (outlier > 0) for (let row = 0; row < rows; row++) numbers[row * inputs] = outlier;
  const biases = randomFloats(seed + 2, outputs, spread);
  const residuals = randomFloats(seed + 3, rows * outputs, spread);
  const x = tf.tensor2d(numbers, [rows, inputs]);
  const bias = hasBias ? tf.tensor1d(biases) : undefined;
  const residual = hasResidual ? tf.tensor2d(residuals, [rows, outputs]) : undefined;
  const result = withScratchGuards(() => linear(x, matrix, {bias, residual, activations}));
  const given = await result.data<'float32'>();
  const roundings = hasCodes(format) ? roundingOf(numbers, inputs, levels) : undefined;
  for (let row = 0; row < rows; row++) {
    for (let out = 0; out < outputs; out++) {
      const more = [hasBias ? biases[out]! : 0, hasResidual ? residuals[row * outputs + out]! : 0];
      let [sum, terms, rounding] = [more[0]! + more[1]!, Math.abs(more[0]!) + Math.abs(more[1]!), 0];
      for (let i = 0; i < inputs; i++) {
        const number = numbers[row * inputs + i]!;
        sum += number * values[i * outputs + out]!;
        terms += Math.abs(number) * magnitudes[i * outputs + out]!;
        rounding += (roundings?.[row * inputs + i] ?? 0) * Math.abs(values[i * outputs + out]!);
      }
      if (terms > 3.4e38) continue; // float32 overflows
      const bound = rounding + (inputs + 8) * (2 ** -24 * terms + 2 ** -149);
      const error = Math.abs(given[row * outputs + out]! - sum);
      if (!(error <= bound)) expect.fail(`row ${row}, output ${out}: error ${error}, bound ${bound}`);
    }
  }
  tf.dispose([x, result, matrix.records, ...(bias ? [bias] : []), ...(residual ? [residual] : [])]);
}

/** The most that each number changes if its block is rounded to whole multiples of its largest magnitude / levels. */
function roundingOf(numbers: Float32Array, inputs: number, levels: number): Float64Array {
  const roundings = new Float64Array(numbers.length);
  for (let row = 0; row < numbers.length; row += inputs) {
    for (let from = row; from < row + inputs; from += inputsOfRecord) {
      const to = Math.min(from + inputsOfRecord, row + inputs);
      const largest = numbers.subarray(from, to).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      // half a unit and 1 % of that, for unit and quotient are rounded; small blocks are taken for zeros
      roundings.fill(largest < 1e-30 ? largest : (0.505 * largest) / levels, from, to);
    }
  }
  return roundings;
}
