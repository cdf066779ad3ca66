import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {BackendError, InvalidArgumentError} from '../../base/errors.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import type {LloydMaxEncoding} from '../../ops/encodings/encoding.js';
import {exponentAt, scales as scaleTable} from '../../ops/encodings/lloyd_max_layout.js';
import {
  allWidths,
  levelsOf,
  meanSquaredErrorOf,
  nearestLevel,
  type Width,
} from '../../ops/encodings/lloyd_max_levels.js';
import {lloydMaxErrorBound, quantizeLloydMax} from '../../ops/lloyd_max/index.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {disposeEncoding} from '../support/encodings.js';
import {randomFloats, randomStream} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

// webgpu has no reference to compare with: test/ops/webgpu
const exact = testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl');

describeOnBackends(
  'quantizeLloydMax',
  backend => {
    const numRuns = backend === 'wasm' ? 100 : 40;

    it('codes each number by the level nearest to it, and 0 bits by 0', () =>
      fc.assert(
        fc.asyncProperty(cases, async given => {
          const z = tokensOf(given);
          const encoding = quantizeLloydMax(z, given.widths);
          await expectNearestLevels(z, encoding);
          tf.dispose(z);
          disposeEncoding(encoding);
        }),
        {numRuns},
      ));

    it('lays codes and scales out as its documentation says', () =>
      fc.assert(
        fc.asyncProperty(cases, async given => {
          const z = tokensOf(given);
          const encoding = quantizeLloydMax(z, given.widths);
          const {tokens} = given;
          const decoded = decodeEncoding(encoding, 0, tokens);
          await expectClose(decoded, await decodedByHand(encoding), 0);
          tf.dispose([z, decoded]);
          disposeEncoding(encoding);
        }),
        {numRuns},
      ));

    it('gives the codes of its reference', () =>
      fc.assert(
        fc.asyncProperty(cases, async given => {
          const z = tokensOf(given);
          const encoding = quantizeLloydMax(z, given.widths);
          const expected = withReferences(() => quantizeLloydMax(z, given.widths));
          await expectClose(encoding.scales, expected.scales, 0, 'scales');
          await expectClose(encoding.codes, expected.codes, 0, 'codes');
          tf.dispose(z);
          disposeEncoding(encoding);
          disposeEncoding(expected);
        }),
        {numRuns},
      ));

    for (const width of allWidths) {
      it(`errs on normal numbers as stated: ${width} bits`, async () => {
        const [tokens, dim] = [64, 512];
        const numbers = normalNumbers(width + 1, tokens * dim);
        const z = tf.tensor4d(numbers, [1, 1, tokens, dim]);
        const encoding = quantizeLloydMax(z, [Array<Width>(dim / 8).fill(width)]);
        const decoded = decodeEncoding(encoding, 0, tokens);
        const approximations = await decoded.data();
        const error = numbers.reduce((sum, x, i) => sum + (x - approximations[i]!) ** 2, 0) / numbers.length;
        // 32,768 numbers; scales are rounded to steps of 9 %, and those of tokens with outliers grow with them
        expect(error / meanSquaredErrorOf(width)).to.be.within(0.95, 1.05);
        tf.dispose([z, decoded]);
        disposeEncoding(encoding);
      });
    }

    it('codes levels times a scale without error', async () => {
      const widths: Width[][] = [
        [1, 2, 3, 4, 5, 6, 8, 0],
        [4, 4, 4, 4, 4, 4, 4, 4],
      ];
      for (const exponent of [0, 17, 40, 63]) {
        const numbers = widths.flatMap((ofHead, head) => rowsOfLevels(ofHead, 32, 2 * exponent + head));
        for (const [at, level] of numbers.entries()) numbers[at] = Math.fround(level * scaleTable[exponent]!);
        const z = tf.tensor4d(numbers, [1, 2, 32, 64]);
        const encoding = quantizeLloydMax(z, widths);
        const decoded = decodeEncoding(encoding, 0, 32);
        await expectClose(decoded, numbers, 0);
        tf.dispose([z, decoded]);
        disposeEncoding(encoding);
      }
    });

    const normal = normalNumbers(3, 16);
    const extremes: [name: string, numbers: ArrayLike<number>][] = [
      ['zeros', Array<number>(16).fill(0)],
      ['negative zeros', Array<number>(16).fill(-0)],
      ['a constant', Array<number>(16).fill(0.7)],
      ['a negative constant', Array<number>(16).fill(-3.7)],
      ['an outlier of 1e30', [...normal.slice(1), 1e30]],
      ['outliers of both signs', [...normal.slice(2), 3e38, -3e38]],
      ['an outlier of 50', [...normal.slice(1), 50]],
      ['numbers of 1e-30', normal.map(x => x * 1e-30)],
      ['subnormal numbers', normal.map(x => x * 1e-40)],
    ];
    for (const [name, numbers] of extremes) {
      it(`takes ${name}`, async () => {
        for (const width of allWidths) {
          const z = tf.tensor4d(
            Float32Array.from({length: 256}, (_, i) => numbers[i % 16]!),
            [1, 1, 16, 16],
          );
          const encoding = quantizeLloydMax(z, [[width, 2]]);
          await expectNearestLevels(z, encoding);
          tf.dispose(z);
          disposeEncoding(encoding);
        }
      });
    }

    it('gives zeros codes of the smallest levels of the smallest scale', async () => {
      const encoding = quantizeLloydMax(tf.zeros([1, 1, 16, 8]), [[4]]);
      const decoded = decodeEncoding(encoding, 0, 16);
      await expectClose(decoded, Array<number>(128).fill(-levelsOf(4).levels[8]! / 32), 0);
      decoded.dispose();
      disposeEncoding(encoding);
    });

    it('leaks nothing', () =>
      expectNoLeak(() => {
        const z = tf.ones<tf.Rank.R4>([1, 2, 16, 8]);
        const encoding = quantizeLloydMax(z, [[3], [0]]);
        decodeEncoding(encoding, 1, 2).dispose();
        z.dispose();
        disposeEncoding(encoding);
      }));

    it('refuses what does not fit', () => {
      const refuse = (z: tf.Tensor, widths: number[][], message: RegExp) =>
        expect(() => quantizeLloydMax(z as tf.Tensor4D, widths as Width[][])).to.throw(
          InvalidArgumentError,
          message,
        );
      refuse(tf.ones([1, 1, 12, 8]), [[4]], /multiple of 16 tokens/);
      refuse(tf.ones([1, 1, 16, 12]), [[4]], /multiple of .*8 channels/);
      refuse(tf.ones([1, 16, 8]), [[4]], /four axes/);
      refuse(tf.ones([1, 2, 16, 8]), [[4]], /2 rows/);
      refuse(tf.ones([1, 1, 16, 16]), [[4]], /2 widths/);
      refuse(tf.ones([1, 1, 16, 8]), [[7]], /\[\[7\]\]; expected/);
    });
  },
  exact,
);

describeOnBackends(
  'quantizeLloydMax',
  () => {
    it('says that this backend has no exact integers', () => {
      expect(() => quantizeLloydMax(tf.ones([1, 1, 16, 8]), [[2]])).to.throw(
        BackendError,
        /use the 'wasm' backend/,
      );
    });
  },
  testBackends.filter(backend => backend === 'webgl'),
);

const widthsOf = (groups: number) =>
  fc.array(fc.constantFrom(...allWidths), {minLength: groups, maxLength: groups});

const cases = fc
  .record({
    batch: fc.integer({min: 1, max: 2}),
    kvHeads: fc.integer({min: 1, max: 3}),
    tiles: fc.integer({min: 1, max: 3}),
    groups: fc.oneof(fc.integer({min: 1, max: 5}), fc.constantFrom(8, 16)),
  })
  .chain(({batch, kvHeads, tiles, groups}) =>
    fc.record({
      batch: fc.constant(batch),
      kvHeads: fc.constant(kvHeads),
      tokens: fc.constant(tiles * 16),
      dim: fc.constant(groups * 8),
      widths: fc.array(
        fc.oneof(
          {weight: 4, arbitrary: widthsOf(groups)},
          {
            weight: 1,
            arbitrary: fc.constantFrom(...allWidths).map(width => Array<Width>(groups).fill(width)),
          },
        ),
        {minLength: kvHeads, maxLength: kvHeads},
      ),
      spread: fc.constantFrom(1e-6, 0.03, 0.5, 1, 2, 7, 1e6),
      seed: fc.integer(),
    }),
  );

type Case = typeof cases extends fc.Arbitrary<infer Given> ? Given : never;

function tokensOf({batch, kvHeads, tokens, dim, spread, seed}: Case): tf.Tensor4D {
  return tf.tensor4d(randomFloats(seed, batch * kvHeads * tokens * dim, spread), [
    batch,
    kvHeads,
    tokens,
    dim,
  ]);
}

/** Levels near normal numbers, in rows whose root mean square is within half a step of 1, so that a scale of 1 is found first. */
function rowsOfLevels(widths: readonly Width[], rows: number, seed: number): number[] {
  const levels = widths.flatMap(width => Array.from({length: 8}, () => levelsOf(width)));
  const coded = levels.filter(({levels: {length}}) => length > 1).length;
  const row = (rowSeed: number): number[] => {
    const numbers = [...normalNumbers(rowSeed, levels.length)].map(
      (x, channel) => levels[channel]!.levels[nearestLevel(levels[channel]!, x)]!,
    );
    const meanSquare = numbers.reduce((sum, x) => sum + x ** 2, 0) / coded;
    return Math.abs(Math.log2(meanSquare)) < 1 / 8 ? numbers : row(rowSeed + 1000);
  };
  return Array.from({length: rows}, (_, index) => row(seed * rows + index)).flat();
}

/** Standard normal numbers (Box and Muller, 1958). */
function normalNumbers(seed: number, length: number): Float32Array {
  const next = randomStream(seed);
  return Float32Array.from(
    {length},
    () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  );
}

/**
 * Each number decodes to the stored scale times the nearest level: no level is nearer, rounding aside. The error is within its
 * bound.
 */
async function expectNearestLevels(z: tf.Tensor4D, encoding: LloydMaxEncoding): Promise<void> {
  const [batch, kvHeads, tokens, dim] = z.shape;
  const decoded = decodeEncoding(encoding, 0, tokens);
  const bound = lloydMaxErrorBound(z, encoding);
  const [numbers, approximations, bounds] = [await z.data(), await decoded.data(), await bound.data()];
  tf.dispose([decoded, bound]);
  const exponents = await exponentsOf(encoding);
  for (let row = 0; row < batch * kvHeads * tokens; row++) {
    const scale = scaleTable[exponents[row]!]!;
    const widths = encoding.widths[Math.floor(row / tokens) % kvHeads]!;
    for (let channel = 0; channel < dim; channel++) {
      const at = row * dim + channel;
      const [x, y] = [numbers[at]!, approximations[at]!];
      const {levels} = levelsOf(widths[channel >> 3]!);
      const nearest = levels.reduce((least, level) => Math.min(least, Math.abs(x - scale * level)), Infinity);
      const error = Math.abs(x - y);
      const rounding = 1e-6 * (Math.abs(x) + scale);
      if (!(error <= nearest + rounding && error <= bounds[at]! + rounding))
        expect.fail(`${x} with ${widths[channel >> 3]!} bits and scale ${scale} decodes to ${y}`);
    }
  }
}

/** The exponents of all tokens in the order of `[batch, kvHeads, tokens]`. */
async function exponentsOf({scales, widths}: LloydMaxEncoding): Promise<number[]> {
  const [batch, , tiles, columns] = scales.shape;
  const words = await scales.data();
  const exponents: number[] = [];
  for (let text = 0; text < batch; text++) {
    for (let head = 0; head < widths.length; head++) {
      for (let token = 0; token < tiles * 16; token++) {
        exponents.push(exponentAt(words, (text * tiles + (token >> 4)) * columns + 3 * head, token & 15));
      }
    }
  }
  return exponents;
}

/** The numbers of an encoding by the definition of its layout, bit by bit. */
async function decodedByHand(encoding: LloydMaxEncoding): Promise<Float32Array> {
  const {codes, scales, widths, dim} = encoding;
  const [batch, , tiles, words] = codes.shape;
  const bytes = new Uint8Array(Int32Array.from(await codes.data()).buffer);
  const scaleBytes = new Uint8Array(Int32Array.from(await scales.data()).buffer);
  const nibbleOf = (array: Uint8Array, nibble: number) => (array[nibble >> 1]! >> (4 * (nibble & 1))) & 15;
  const planesOf = {0: [], 1: [1], 2: [2], 3: [2, 1], 4: [4], 5: [4, 1], 6: [4, 2], 8: [4, 4]} as const;
  const out: number[] = [];
  for (let text = 0; text < batch; text++) {
    let headVector = 0;
    for (const [head, ofHead] of widths.entries()) {
      for (let token = 0; token < tiles * 16; token++) {
        const [tile, inTile] = [text * tiles + (token >> 4), token & 15];
        const scaleAt = (tile * widths.length + head) * 12;
        const lower = nibbleOf(scaleBytes, 2 * scaleAt + inTile);
        const upper = (scaleBytes[scaleAt + 8 + (inTile >> 2)]! >> (2 * (inTile & 3))) & 3;
        const scale = Math.fround(2 ** ((16 * upper + lower - 40) / 8));
        let vector = headVector;
        for (const width of ofHead) {
          const {levels, codes: order} = levelsOf(width);
          for (let channel = 0; channel < 8; channel++) {
            let [code, first] = [0, vector];
            for (const bits of planesOf[width]) {
              const inPlane = channel * bits; // bit of the plane's bits of this token
              const byte = bytes[tile * words * 4 + 16 * (first + (inPlane >> 3)) + inTile]!;
              code = (code << bits) | ((byte >> (inPlane & 7)) & (2 ** bits - 1));
              first += bits;
            }
            out.push(scale * levels[order.indexOf(code)]!);
          }
          vector += width;
        }
      }
      headVector += ofHead.reduce<number>((sum, width) => sum + width, 0);
    }
  }
  expect(out.length).to.equal(batch * widths.length * tiles * 16 * dim);
  return Float32Array.from(out);
}

function withReferences<Result>(run: () => Result): Result {
  return withReference('QuantizeLloydMax', () => withReference('DecodeTokens', run));
}
