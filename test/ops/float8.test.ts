import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {encodeFloat8} from '../../ops/float8/index.js';
import {encodingBytes, type Float8Encoding} from '../../ops/encodings/encoding.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {readGolden, type GoldenArray} from '../support/golden.js';
import {randomFloats} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

interface GoldenFormat {
  /** The number of each of the 256 codes; non-finite ones as strings. */
  readonly numbers: (number | string)[];
  readonly x: GoldenArray;
  readonly scales: number[];
  readonly words: number[];
  readonly decoded: number[];
}

const golden = readGolden('ops/float8.json') as {readonly e4m3: GoldenFormat; readonly e5m2: GoldenFormat};
const formats = ['e4m3', 'e5m2'] as const;

describeOnBackends(
  'float8',
  backend => {
    for (const format of formats) {
      const {numbers, x, scales, words, decoded} = golden[format];

      it(`decodes every ${format} code to its number`, async () => {
        // one token of 256 channels, and as many tokens of one channel: the vector path and the single one
        for (const shape of [
          [1, 1, 1, 256],
          [1, 1, 256, 1],
        ] as const) {
          const encoding = encodingOfCodes(format, shape);
          const result = decodeEncoding(encoding, 0, shape[2]);
          expect(result.shape).to.deep.equal([...shape]);
          // bits, since a NaN equals nothing and -0 equals 0
          const expected = numbers.map(number => Math.fround(Number(number)));
          const actual = [...(await result.data())];
          for (let code = 0; code < 256; code++) {
            expect(Object.is(actual[code], expected[code]), `code ${code}: ${actual[code]!}`).to.be.true;
          }
          tf.dispose([encoding.codes, encoding.scales, result]);
        }
      });

      it(`encodes to the golden ${format} scales and codes, bit for bit`, async () => {
        const [rows, dim] = x.shape as [number, number];
        const numbersOfX = tf.tensor4d(Float32Array.from(x.data), [1, 1, rows, dim]);
        const encoding = encodeFloat8(numbersOfX, {format});
        const result = decodeEncoding(encoding, 0, rows);
        expect(encoding.codes.shape).to.deep.equal([1, 1, rows, Math.ceil(dim / 4)]);
        expect(encoding.codes.dtype).to.equal('int32');
        expect(encoding.scales.shape).to.deep.equal([1, 1, rows, 1]);
        // TensorFlow takes subnormal scales for zeros
        const isZero = (row: number) => backend === 'tensorflow' && scales[row]! < 2 ** -126;
        const withZeros = (golden: readonly number[], columns: number) =>
          golden.map((number, i) => (isZero(Math.floor(i / columns)) ? 0 : number));
        expect([...(await encoding.scales.data())]).to.deep.equal([
          ...Float32Array.from(withZeros(scales, 1)),
        ]);
        expect([...(await encoding.codes.data())]).to.deep.equal(withZeros(words, Math.ceil(dim / 4)));
        await expectClose(result, Float32Array.from(withZeros(decoded, dim)), 0);
        tf.dispose([numbersOfX, encoding.codes, encoding.scales, result]);
      });

      it(`is as near as ${format} can be, kernel and reference alike, in any shape`, () =>
        fc.assert(
          fc.asyncProperty(shapes, async ({batch, heads, tokens, dim, spread, seed}) => {
            const shape: [number, number, number, number] = [batch, heads, tokens, dim];
            const values = randomFloats(seed, batch * heads * tokens * dim, spread);
            const input = tf.tensor4d(values, shape);
            const encoding = encodeFloat8(input, {format});
            const [from, count] = [Math.floor(tokens / 3), Math.ceil(tokens / 2)];
            const part = decodeEncoding(encoding, from, Math.min(count, tokens - from));
            const whole = decodeEncoding(encoding, 0, tokens);
            const plain = withReference('Float8Scales', () =>
              withReference('Float8Codes', () => encodeFloat8(input, {format})),
            );
            expect([...(await encoding.codes.data())]).to.deep.equal([...(await plain.codes.data())]);
            expect([...(await encoding.scales.data())]).to.deep.equal([...(await plain.scales.data())]);
            const expectedPart = withReference('DecodeTokens', () =>
              decodeEncoding(encoding, from, part.shape[2]),
            );
            await expectClose(part, expectedPart, 0);
            const back = await whole.data();
            // half a step: 2^-4 or 2^-3 of the number, or half a subnormal step of the token's scale
            const relative = format === 'e4m3' ? 2 ** -4 : 2 ** -3;
            const step = format === 'e4m3' ? 2 ** -10 / 448 : 2 ** -17 / 57344;
            values.forEach((value, i) => {
              const row = values.subarray(Math.floor(i / dim) * dim, (Math.floor(i / dim) + 1) * dim);
              const largest = row.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
              const bound = (Math.abs(value) * relative + largest * step) * (1 + 1e-6);
              expect(Math.abs(back[i]! - value), `${value} -> ${back[i]!}`).to.be.at.most(bound);
            });
            tf.dispose([
              input,
              encoding.codes,
              encoding.scales,
              plain.codes,
              plain.scales,
              part,
              whole,
              expectedPart,
            ]);
          }),
          {numRuns: 30},
        ));
    }

    it('encodes zeros with scale 0 and decodes them to zeros', async () => {
      const zeros = tf.zeros<tf.Rank.R4>([1, 2, 3, 5]);
      const encoding = encodeFloat8(zeros, {format: 'e4m3'});
      const back = decodeEncoding(encoding, 0, 3);
      await expectClose(encoding.scales, new Float32Array(6), 0);
      await expectClose(back, new Float32Array(30), 0);
      tf.dispose([zeros, encoding.codes, encoding.scales, back]);
    });

    it('takes one byte per number and four per token', () => {
      tf.tidy(() => {
        const encoding = encodeFloat8(tf.ones([2, 3, 5, 64]), {format: 'e5m2'});
        expect(encodingBytes(encoding)).to.equal(2 * 3 * 5 * (64 + 4));
      });
    });

    it('leaks nothing', async () => {
      const x = tf.ones<tf.Rank.R4>([1, 2, 3, 9]);
      await expectNoLeak(() => {
        const encoding = encodeFloat8(x, {format: 'e4m3'});
        const back = decodeEncoding(encoding, 1, 2);
        return [encoding.codes, encoding.scales, back];
      });
      x.dispose();
    });

    it('refuses what is not [batch, heads, tokens, dim]', () => {
      expect(() =>
        encodeFloat8(tf.ones<tf.Rank.R4>([2, 3] as number[] as [number, number, number, number]), {
          format: 'e4m3',
        }),
      ).to.throw(InvalidArgumentError, '[2, 3]');
    });
  },
  testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl'), // no exact 32-bit integers there
);

const shapes = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  heads: fc.integer({min: 1, max: 3}),
  tokens: fc.integer({min: 1, max: 9}),
  dim: fc.oneof(fc.integer({min: 1, max: 20}), fc.constantFrom(31, 32, 33, 64)),
  spread: fc.constantFrom(1e-20, 1, 1e20),
  seed: fc.integer(),
});

/** An encoding whose codes are 0 .. 255 in order, with scale 1. */
function encodingOfCodes(
  format: 'e4m3' | 'e5m2',
  shape: readonly [number, number, number, number],
): Float8Encoding {
  const [batch, heads, tokens, dim] = shape;
  const words = Int32Array.from({length: tokens * Math.ceil(dim / 4)}, (_, i) =>
    dim === 1 ? i : (4 * i) | ((4 * i + 1) << 8) | ((4 * i + 2) << 16) | ((4 * i + 3) << 24),
  );
  return {
    kind: 'float8',
    dim,
    format,
    codes: tf.tensor4d(words, [batch, heads, tokens, Math.ceil(dim / 4)], 'int32'),
    scales: tf.ones([batch, heads, tokens, 1]),
  };
}
