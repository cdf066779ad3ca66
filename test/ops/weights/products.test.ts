import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {linear} from '../../../ops/linear/index.js';
import {type PackedFormat, inputsOfRecord, packedFormats} from '../../../ops/weights/formats.js';
import {describeOnKernelBuilds} from '../../support/kernel_builds.js';
import {packedMatrix} from '../../support/packed_matrix.js';
import {randomFloats} from '../../support/random.js';
import {withScratchGuards} from '../../support/scratch_guards.js';

const formats = Object.keys(packedFormats) as PackedFormat[];

interface Case {
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly hasBias: boolean;
  readonly hasResidual: boolean;
  readonly spread: number;
  readonly seed: number;
}

const cases: fc.Arbitrary<Case> = fc.record({
  rows: fc.oneof(fc.constant(1), fc.integer({min: 1, max: 20})),
  inputs: fc.integer({min: 1, max: 70}),
  outputs: fc.integer({min: 1, max: 40}),
  hasBias: fc.boolean(),
  hasResidual: fc.boolean(),
  spread: fc.constantFrom(1, 1e-20, 1e20),
  seed: fc.integer(),
});

const large: Case[] = [
  {rows: 1, inputs: 1536, outputs: 576, hasBias: false, hasResidual: true, spread: 1, seed: 1},
  {rows: 7, inputs: 576, outputs: 1000, hasBias: true, hasResidual: false, spread: 1, seed: 2},
  {rows: 300, inputs: 200, outputs: 70, hasBias: true, hasResidual: true, spread: 1, seed: 3},
];

describeOnKernelBuilds('products with packed weights', build => {
  for (const format of formats) {
    for (const activations of ['int16', 'int8'] as const) {
      if (activations === 'int8' && format !== 'packed4') continue;
      it(`of ${format} by ${activations} are within their bound of float64`, async () => {
        const levels = activations === 'int8' && build === 'relaxed' ? 127 : 32767;
        for (const one of large) await expectWithinBound(format, one, activations, levels);
        await fc.assert(
          fc.asyncProperty(cases, one => expectWithinBound(format, one, activations, levels)),
          {numRuns: 150},
        );
      });
    }
  }
});

/** Compares `linear` with sums in float64, and with guards around its scratch memory. */
async function expectWithinBound(
  format: PackedFormat,
  {rows, inputs, outputs, hasBias, hasResidual, spread, seed}: Case,
  activations: 'int16' | 'int8',
  levels: number,
): Promise<void> {
  const {matrix, values, magnitudes} = packedMatrix(format, inputs, outputs, seed);
  const numbers = randomFloats(seed + 1, rows * inputs, spread);
  const biases = randomFloats(seed + 2, outputs, spread);
  const residuals = randomFloats(seed + 3, rows * outputs, spread);
  const x = tf.tensor2d(numbers, [rows, inputs]);
  const bias = hasBias ? tf.tensor1d(biases) : undefined;
  const residual = hasResidual ? tf.tensor2d(residuals, [rows, outputs]) : undefined;
  const result = withScratchGuards(() => linear(x, matrix, {bias, residual, activations}));
  const given = await result.data<'float32'>();
  const units = packedFormats[format].bits === 16 ? undefined : unitsOf(numbers, inputs, levels);
  for (let row = 0; row < rows; row++) {
    for (let out = 0; out < outputs; out++) {
      const more = [hasBias ? biases[out]! : 0, hasResidual ? residuals[row * outputs + out]! : 0];
      let [sum, terms, rounding] = [more[0]! + more[1]!, Math.abs(more[0]!) + Math.abs(more[1]!), 0];
      for (let i = 0; i < inputs; i++) {
        const number = numbers[row * inputs + i]!;
        sum += number * values[i * outputs + out]!;
        terms += Math.abs(number) * magnitudes[i * outputs + out]!;
        rounding += (units?.[row * inputs + i] ?? 0) * Math.abs(values[i * outputs + out]!);
      }
      // half a unit, and a little for the rounding of unit and number
      const bound = 0.505 * rounding + (inputs + 8) * 2 ** -24 * terms;
      const error = Math.abs(given[row * outputs + out]! - sum);
      if (!(error <= bound)) expect.fail(`row ${row}, output ${out}: error ${error}, bound ${bound}`);
    }
  }
  tf.dispose([x, result, matrix.records, ...(bias ? [bias] : []), ...(residual ? [residual] : [])]);
}

/** For each number, the unit that its block is rounded to whole multiples of. */
function unitsOf(numbers: Float32Array, inputs: number, levels: number): Float32Array {
  const units = new Float32Array(numbers.length);
  for (let row = 0; row < numbers.length; row += inputs) {
    for (let from = row; from < row + inputs; from += inputsOfRecord) {
      const to = Math.min(from + inputsOfRecord, row + inputs);
      const largest = numbers.subarray(from, to).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      units.fill(largest / levels, from, to);
    }
  }
  return units;
}
