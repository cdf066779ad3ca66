import {expect} from 'chai';
import fc from 'fast-check';
import type {CodedRow} from '../../../base/files/coded_row.js';
import {float16Values, toFloat16} from '../../../base/files/float_formats.js';
import {ggmlTypes} from '../../../base/files/gguf_types.js';
import {type BlockType, blocksOf} from '../../../base/files/write_gguf_blocks.js';

const halves = float16Values();

function halfOf(value: number): number {
  const bits = new Uint16Array(1);
  toFloat16(Float32Array.of(value), bits);
  return bits[0]!;
}

/** 0 for -0, which products with a negative scale or a code of 0 give. */
const plusZero = (value: number) => value + 0;

/** What is read from blocks. */
function decoded(type: BlockType, blocks: Uint8Array): Float32Array {
  const encoding = [...ggmlTypes.values()].find(({dtype}) => dtype === type)!;
  const values = new Float32Array((blocks.length / encoding.blockBytes) * encoding.blockSize);
  encoding.decode!(blocks, values, 0);
  return values.map(plusZero);
}

/** The weights that codes stand for. */
function weightsOf({codes, scales, minima}: CodedRow): Float32Array {
  const groupSize = codes.length / scales.length;
  return Float32Array.from(codes, (code, i) => {
    const minimum = minima === undefined ? 0 : halves[minima[Math.floor(i / 32)]!]!;
    return plusZero(halves[scales[Math.floor(i / groupSize)]!]! * code + minimum);
  });
}

/** Bits of float16 numbers as scales are, of any size, subnormal ones and 0 too. */
const scale = fc.oneof(fc.nat(0x7bff), fc.integer({min: 0x8001, max: 0xfbff}));

const rows = (least: number, most: number, hasMinimum: boolean) =>
  fc.integer({min: 1, max: 3}).chain(blocks =>
    fc
      .record({
        codes: fc.array(fc.integer({min: least, max: most}), {
          minLength: 32 * blocks,
          maxLength: 32 * blocks,
        }),
        scales: fc.array(scale, {minLength: blocks, maxLength: blocks}),
        minima: fc.array(scale, {minLength: blocks, maxLength: blocks}),
      })
      .map(({codes, scales, minima}): CodedRow => ({
        codes: least < 0 ? Int8Array.from(codes) : Uint8Array.from(codes),
        scales: Uint16Array.from(scales),
        ...(hasMinimum && {minima: Uint16Array.from(minima)}),
      })),
  );

describe('codes written as GGUF blocks', () => {
  const types: readonly (readonly [BlockType, least: number, most: number, hasMinimum: boolean])[] = [
    ['Q4_1', 0, 15, true],
    ['Q5_0', -16, 15, false],
    ['Q5_1', 0, 31, true],
    ['Q8_0', -128, 127, false],
  ];
  for (const [type, least, most, hasMinimum] of types) {
    it(`of ${type} are read as the same numbers`, () => {
      fc.assert(
        fc.property(rows(least, most, hasMinimum), row => {
          expect(decoded(type, blocksOf(type, row)!)).to.deep.equal(weightsOf(row));
        }),
      );
    });
  }

  it('of Q4_0 are read as the same numbers if every minimum is -8 scales', () => {
    const symmetric = rows(0, 15, false).map(row => {
      const scales = row.scales.map(bits => (Math.abs(halves[bits]!) < 8000 ? bits : 0x3c00));
      return {...row, scales, minima: scales.map(bits => halfOf(-8 * halves[bits]!))};
    });
    fc.assert(
      fc.property(symmetric, row => {
        expect(decoded('Q4_0', blocksOf('Q4_0', row)!)).to.deep.equal(weightsOf(row));
        const minima = row.minima.slice();
        minima[0]! ^= 1;
        expect(blocksOf('Q4_0', {...row, minima})).to.equal(undefined);
      }),
    );
  });

  it('of Q6_K have factors whose products are the scales', () => {
    const factors = fc.record({
      d: fc.oneof(fc.integer({min: 1, max: 0x4fff}), fc.integer({min: 0x8001, max: 0xcfff})),
      whole: fc.array(fc.integer({min: -128, max: 127}), {minLength: 16, maxLength: 16}),
      codes: fc.array(fc.integer({min: -32, max: 31}), {minLength: 256, maxLength: 256}),
    });
    fc.assert(
      fc.property(fc.array(factors, {minLength: 1, maxLength: 2}), blocks => {
        const row = {
          codes: Int8Array.from(blocks.flatMap(({codes}) => codes)),
          scales: Uint16Array.from(blocks.flatMap(({d, whole}) => whole.map(s => halfOf(s * halves[d]!)))),
        };
        const values = decoded('Q6_K', blocksOf('Q6_K', row)!);
        row.codes.forEach((code, i) => {
          const given = halves[row.scales[i >> 4]!]!;
          if (code === 0) expect(values[i]!).to.equal(0);
          else expect(plusZero(halves[halfOf(values[i]! / code)]!)).to.equal(plusZero(given));
        });
      }),
      {numRuns: 300},
    );
  });

  it('are refused if the type cannot hold them', () => {
    const row = (codes: number[], scales = [0x3c00]): CodedRow => ({
      codes: Int8Array.from(
        {length: 16 * scales.length < 32 ? 32 : 16 * scales.length},
        (_, i) => codes[i] ?? 0,
      ),
      scales: Uint16Array.from(scales),
    });
    for (const type of ['Q4_0', 'Q4_1'] as const) expect(blocksOf(type, row([16]))).to.equal(undefined);
    expect(blocksOf('Q5_0', row([16]))).to.equal(undefined);
    expect(blocksOf('Q5_1', row([-1]))).to.equal(undefined);
    expect(blocksOf('Q5_0', {...row([1]), minima: Uint16Array.of(1)})).to.equal(undefined);
    expect(blocksOf('Q8_0', {...row([1]), minima: Uint16Array.of(1)})).to.equal(undefined);
    const sixteen = (...scales: number[]) => Array.from({length: 16}, (_, i) => scales[i] ?? 0);
    expect(blocksOf('Q6_K', row([32], sixteen(0x3c00)))).to.equal(undefined);
    expect(blocksOf('Q6_K', row([1], sixteen(0x3c00)))).to.have.length(210);
    expect(blocksOf('Q6_K', row([1], sixteen(0x7c00)))).to.equal(undefined);
    // 1 and a prime of 11 bits have no common factor within 128 of which both are products
    expect(blocksOf('Q6_K', row([1], sixteen(halfOf(1), halfOf(1 + 3 / 1024), halfOf(0.7))))).to.equal(
      undefined,
    );
    // 32 inputs are no block of 256
    expect(blocksOf('Q6_K', row([1], [0x3c00, 0x3c00]))).to.equal(undefined);
  });
});
