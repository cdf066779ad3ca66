import {expect} from 'chai';
import fc from 'fast-check';
import type {CodedRow} from '../../../base/files/coded_row.js';
import {float16Values} from '../../../base/files/float_formats.js';
import {type RoundedFormat, roundRows} from '../../../ops/weights/round_rows.js';
import {randomStream} from '../../support/random.js';

const halves = float16Values();

function weightsOf({codes, scales, minima}: CodedRow): number[] {
  return Array.from(codes, (code, i) => {
    const block = i >> 5;
    return halves[scales[block]!]! * code + (minima === undefined ? 0 : halves[minima[block]!]!);
  });
}

/** Independent normal numbers by the method of Box and Muller (1958). */
function normal(seed: number, length: number): Float32Array {
  const next = randomStream(seed);
  return Float32Array.from(
    {length},
    () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  );
}

function relativeError(values: Float32Array, weights: readonly number[]): number {
  const sum = (numbers: Iterable<number>) => Array.from(numbers, x => x * x).reduce((a, b) => a + b, 0);
  return Math.sqrt(sum(values.map((value, i) => value - weights[i]!)) / sum(values));
}

/** What min/max without a fit gives, in float64. */
function minMax(values: Float32Array): number[] {
  return Array.from(values, (value, i) => {
    const block = values.subarray(i & ~31, (i & ~31) + 32);
    const [least, most] = [Math.min(...block), Math.max(...block)];
    const scale = (most - least) / 15;
    return Math.round((value - least) / scale) * scale + least;
  });
}

const rows = fc
  .array(fc.float({min: -8, max: 8, noNaN: true}), {minLength: 1, maxLength: 70})
  .chain(values =>
    fc.integer({min: -30, max: 8}).map(power => Float32Array.from(values, x => x * 2 ** power)),
  );

/** One row. */
const rounded = (values: Float32Array, format: RoundedFormat) => roundRows(values, values.length, format);

describe('roundRows', () => {
  it('changes a weight of packed8 by half a scale at most, of any size', () => {
    fc.assert(
      fc.property(rows, values => {
        const row = rounded(values, 'packed8');
        const weights = weightsOf(row);
        values.forEach((value, i) => {
          const half = halves[row.scales[i >> 5]!]! / 2;
          expect(Math.abs(weights[i]! - value)).to.be.at.most(half * (1 + 1e-6));
        });
        const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const scale = Math.max(...Array.from(row.scales, bits => halves[bits]!));
        expect(scale).to.be.at.most((largest / 127) * (1 + 2 ** -11) + 2 ** -24);
      }),
    );
  });

  it('changes a block of packed4 by no more than min/max, which it starts from', () => {
    fc.assert(
      fc.property(rows, values => {
        const weights = weightsOf(rounded(values, 'packed4'));
        for (let from = 0; from < values.length; from += 32) {
          const block = values.subarray(from, from + 32);
          const [least, most] = [Math.min(...block), Math.max(...block)];
          // half a step each, and what float16 takes from the minimum and fifteen steps
          const step = (most - least) / 15;
          const bound = step / 2 + 2 ** -10 * (Math.abs(least) + 15 * step) + 2 ** -20;
          const errors = Array.from(block, (value, i) => (weights[from + i]! - value) ** 2);
          expect(errors.reduce((sum, error) => sum + error, 0)).to.be.at.most(block.length * bound ** 2);
        }
      }),
    );
  });

  it('has the stated errors on normally distributed weights', () => {
    const values = normal(5, 32 * 2000).map(value => value * 0.02);
    expect(relativeError(values, weightsOf(rounded(values, 'packed4')))).to.be.within(0.0715, 0.0725);
    expect(relativeError(values, minMax(values))).to.be.within(0.0765, 0.0785);
    expect(relativeError(values, weightsOf(rounded(values, 'packed8')))).to.be.within(0.004, 0.006);
  });

  it('keeps zeros, constants and an outlier, and fills the last block with codes of 0', () => {
    for (const format of ['packed8', 'packed4'] as const) {
      expect(weightsOf(rounded(new Float32Array(40), format))).to.deep.equal(new Array(64).fill(0));
      const row = rounded(new Float32Array(40).fill(-0.75), format);
      expect(row.codes).to.have.length(64);
      expect([...row.codes.subarray(40)]).to.deep.equal(new Array(24).fill(0));
      for (const weight of weightsOf(row).slice(0, 40)) expect(weight).to.be.closeTo(-0.75, 0.75 * 2 ** -10);
      const outlier = new Float32Array(32).fill(1e-3).fill(100, 7, 8);
      expect(weightsOf(rounded(outlier, format))[7]).to.be.closeTo(100, 0.1);
    }
  });

  it('rounds each of several rows by itself, as it is alone', () => {
    const values = normal(8, 5 * 50);
    for (const format of ['packed8', 'packed4'] as const) {
      const {codes, scales, minima} = roundRows(values, 50, format);
      for (let row = 0; row < 5; row++) {
        const alone = rounded(values.subarray(row * 50, (row + 1) * 50), format);
        expect(codes.subarray(row * 64, (row + 1) * 64)).to.deep.equal(alone.codes);
        expect(scales.subarray(row * 2, (row + 1) * 2)).to.deep.equal(alone.scales);
        expect(minima?.subarray(row * 2, (row + 1) * 2)).to.deep.equal(alone.minima);
      }
    }
  });

  it('has an infinite scale or minimum if float16 cannot hold it', () => {
    const wide = Float32Array.of(-9e6, 9e6);
    expect(halves[rounded(wide, 'packed8').scales[0]!]).to.equal(Infinity);
    const {scales, minima} = rounded(wide, 'packed4');
    expect([halves[scales[0]!], halves[minima![0]!]]).to.deep.equal([Infinity, -Infinity]);
  });
});
