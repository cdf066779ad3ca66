import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {BackendError, InvalidArgumentError} from '../../base/errors.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import type {IntegerEncoding} from '../../ops/encodings/encoding.js';
import type {IntegerBits} from '../../ops/encodings/integer.js';
import {quantize, type QuantizeOptions} from '../../ops/integer/index.js';
import {disposeEncoding} from '../support/attention_cases.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {goldenTensor, readGolden, type GoldenArray} from '../support/golden.js';
import {randomFloats} from '../support/random.js';
import {withReference} from '../support/reference.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

interface IntegerGolden {
  readonly inputs: Record<string, GoldenArray>;
  readonly cases: {
    readonly name: string;
    readonly input: string;
    readonly bits: IntegerBits;
    readonly group: number;
    readonly axis: 'channel' | 'token';
    readonly symmetric: boolean;
    readonly codes: GoldenArray;
    readonly params: GoldenArray;
    readonly decoded: GoldenArray;
  }[];
}

const golden = readGolden('ops/integer.json') as IntegerGolden;
// webgl passes int32 through float32; webgpu has shaders that do not, but no reference to compare with: test/ops/webgpu
const exact = testBackends.filter(backend => backend !== 'webgpu' && backend !== 'webgl');

const allBits: readonly IntegerBits[] = [8, 6, 5, 4, 3, 2];
const normal = [...randomFloats(11, 8)];

/** One group of eight numbers each. */
const extremes: [name: string, numbers: number[]][] = [
  ['zeros', Array<number>(8).fill(0)],
  ['negative zeros', Array<number>(8).fill(-0)],
  ['a constant', Array<number>(8).fill(0.1)],
  ['a negative constant', Array<number>(8).fill(-3.7)],
  ['the largest numbers', normal.map(x => Math.sign(x) * 1.7e38)],
  ['an outlier of 1e30', [...normal.slice(1), 1e30]],
  ['outliers of both signs', [...normal.slice(2), 1e30, -1e30]],
  ['numbers of 1e-30', normal.map(x => x * 1e-30)],
  ['subnormal numbers', normal.map(x => x * 1e-40)],
  ['the smallest number', [...Array<number>(7).fill(0), 1e-45]],
  ['a narrow range far from 0', normal.map(x => 1000 + x * 1e-3)],
  ['a wide range', normal.map((x, i) => x * 10 ** (i - 4))],
];

describeOnBackends(
  'quantize',
  backend => {
    const numRuns = backend === 'wasm' ? 150 : 40;

    for (const {name, input, bits, group, axis, symmetric, ...expected} of golden.cases) {
      it(`gives the golden codes, bit for bit: ${name}`, async () => {
        const x = goldenTensor(golden.inputs[input]!);
        const encoding = quantize(x, {dim: x.shape[3], bits, groupAxis: axis, groupSize: group, symmetric});
        expect(encoding.codes.shape).to.deep.equal(expected.codes.shape);
        expect(encoding.params.shape).to.deep.equal(expected.params.shape);
        expect([...(await encoding.params.data())]).to.deep.equal(expected.params.data);
        expect([...(await encoding.codes.data())]).to.deep.equal(expected.codes.data);
        const decoded = decodeEncoding(encoding, 0, x.shape[2]);
        await expectClose(decoded, Float32Array.from(expected.decoded.data), 0);
        tf.dispose([x, decoded]);
        disposeEncoding(encoding);
      });
    }

    it('errs by half a step at most, and decodes to the same bits as the reference', () =>
      fc.assert(
        fc.asyncProperty(integerCases, async integerCase => {
          const {x, options} = inputsOf(integerCase);
          const encoding = quantize(x, options);
          await expectHalfAStep(x, encoding, options);
          await expectSameBits(
            encoding,
            withReferences(() => quantize(x, options)),
          );
          tf.dispose(x);
          disposeEncoding(encoding);
        }),
        {numRuns},
      ));

    it('decodes any run of tokens', () =>
      fc.assert(
        fc.asyncProperty(integerCases, fc.nat(), fc.nat(), async (integerCase, start, length) => {
          const {x, options} = inputsOf(integerCase);
          const tokens = x.shape[2];
          const from = start % (tokens + 1);
          const count = length % (tokens - from + 1);
          const encoding = quantize(x, options);
          const all = decodeEncoding(encoding, 0, tokens);
          const expected = tf.slice(all, [0, 0, from, 0], [-1, -1, count, -1]);
          for (const run of [
            decodeEncoding(encoding, from, count),
            withReferences(() => decodeEncoding(encoding, from, count)),
          ]) {
            await expectClose(run, expected, 0);
            run.dispose();
          }
          tf.dispose([x, all, expected]);
          disposeEncoding(encoding);
        }),
        {numRuns},
      ));

    for (const [name, numbers] of extremes) {
      for (const symmetric of [false, true]) {
        const title = `takes ${name}, ${symmetric ? 'symmetric' : 'with a zero point'}`;
        if (backend === 'tensorflow' && numbers.every(number => Math.abs(number) < 2 ** -126)) {
          it(`${title}, for zeros`, async () => {
            for (const bits of allBits) {
              const layout = {dim: 8, bits, groupAxis: 'token', groupSize: 8, symmetric} as const;
              const x = tf.tensor4d(numbers, [1, 1, 1, 8]);
              const encoding = quantize(x, layout);
              const decoded = decodeEncoding(encoding, 0, 1);
              await expectClose(decoded, new Float32Array(8), 0);
              tf.dispose([x, decoded]);
              disposeEncoding(encoding);
            }
          });
          continue;
        }
        it(title, async () => {
          for (const bits of allBits) {
            const options: QuantizeOptions = {dim: 8, bits, groupAxis: 'token', groupSize: 8, symmetric};
            const x = tf.tensor4d(numbers, [1, 1, 1, 8]);
            const encoding = quantize(x, options);
            await expectHalfAStep(x, encoding, options);
            await expectSameBits(
              encoding,
              withReferences(() => quantize(x, options)),
            );
            tf.dispose(x);
            disposeEncoding(encoding);
          }
        });
      }
    }

    it('leaks nothing', () =>
      expectNoLeak(() => {
        const x = tf.ones<tf.Rank.R4>([1, 2, 4, 8]);
        const encoding = quantize(x, {dim: 8, bits: 4, groupAxis: 'channel', groupSize: 2, symmetric: false});
        decodeEncoding(encoding, 1, 2).dispose();
        x.dispose();
        disposeEncoding(encoding);
      }));

    it('refuses what does not fit', () => {
      const options: QuantizeOptions = {
        dim: 8,
        bits: 4,
        groupAxis: 'channel',
        groupSize: 4,
        symmetric: false,
      };
      const refuse = (x: tf.Tensor, message: RegExp) =>
        expect(() => quantize(x as tf.Tensor4D, options)).to.throw(InvalidArgumentError, message);
      refuse(tf.ones([1, 1, 4, 7]), /does not have dim 8/);
      refuse(tf.ones([1, 1, 6, 8]), /6 tokens do not divide into groups of 4/);
      refuse(tf.ones([1, 4, 8]), /four axes/);
    });
  },
  exact,
);

describeOnBackends(
  'quantize',
  () => {
    it('says that this backend has no exact integers', () => {
      const options: QuantizeOptions = {dim: 8, bits: 4, groupAxis: 'token', groupSize: 8, symmetric: false};
      expect(() => quantize(tf.ones([1, 1, 1, 8]), options)).to.throw(BackendError, /use the 'wasm' backend/);
    });
  },
  testBackends.filter(backend => backend === 'webgl'),
);

const integerCases = fc.record({
  batch: fc.integer({min: 1, max: 2}),
  heads: fc.integer({min: 1, max: 3}),
  tokens: fc.integer({min: 1, max: 9}), // in groups of groupSize if groups run along tokens
  dim: fc.oneof(fc.integer({min: 1, max: 40}), fc.constantFrom(64, 65)),
  bits: fc.constantFrom(...allBits),
  groupAxis: fc.constantFrom('channel' as const, 'token' as const),
  groupSize: fc.oneof(fc.integer({min: 1, max: 12}), fc.constantFrom(16, 32, 64)),
  symmetric: fc.boolean(),
  spread: fc.constantFrom(1e-20, 1e-3, 1, 1e4, 1e20),
  offset: fc.constantFrom(0, 1, -30), // in spreads
  seed: fc.integer(),
});

type IntegerCase = typeof integerCases extends fc.Arbitrary<infer Case> ? Case : never;

function inputsOf(integerCase: IntegerCase): {x: tf.Tensor4D; options: QuantizeOptions} {
  const {batch, heads, dim, bits, groupAxis, groupSize, symmetric, spread, offset, seed} = integerCase;
  const tokens =
    groupAxis === 'channel' ? groupSize * Math.ceil(integerCase.tokens / groupSize) : integerCase.tokens;
  const numbers = randomFloats(seed, batch * heads * tokens * dim, spread).map(x => x + offset * spread);
  return {
    x: tf.tensor4d(numbers, [batch, heads, tokens, dim]),
    options: {dim, bits, groupAxis, groupSize, symmetric},
  };
}

/** |x - decoded| <= scale / 2, and what rounding the quotient and the product to float32 may add. */
async function expectHalfAStep(
  x: tf.Tensor4D,
  encoding: IntegerEncoding,
  options: QuantizeOptions,
): Promise<void> {
  const [batch, heads, tokens, dim] = x.shape;
  const decoded = decodeEncoding(encoding, 0, tokens);
  const [numbers, approximations, params] = await Promise.all([
    x.data(),
    decoded.data(),
    encoding.params.data(),
  ]);
  decoded.dispose();
  const scales = new Float32Array(new Int32Array(params).map(word => (word >>> 1) & 0x7fff8000).buffer);
  const {groupAxis, groupSize} = options;
  for (let i = 0; i < batch * heads * tokens * dim; i++) {
    const row = Math.floor(i / dim); // of all heads
    const channel = i % dim;
    const group =
      groupAxis === 'channel'
        ? Math.floor(row / groupSize) * dim + channel // groups divide a head's tokens
        : row * Math.ceil(dim / groupSize) + Math.floor(channel / groupSize);
    const bound = scales[group]! / 2 + 2 ** -22 * Math.abs(numbers[i]!) + 2 ** -149;
    const error = Math.abs(numbers[i]! - approximations[i]!);
    if (error > bound)
      expect.fail(`number ${i}: ${numbers[i]!} decodes to ${approximations[i]!}, off by more than ${bound}`);
  }
}

async function expectSameBits(encoding: IntegerEncoding, expected: IntegerEncoding): Promise<void> {
  expect(encoding.codes.shape).to.deep.equal(expected.codes.shape);
  expect(encoding.params.shape).to.deep.equal(expected.params.shape);
  await expectClose(encoding.params, expected.params, 0, 'params');
  await expectClose(encoding.codes, expected.codes, 0, 'codes');
  disposeEncoding(expected);
}

function withReferences<Result>(run: () => Result): Result {
  return withReference('GroupParameters', () =>
    withReference('PackCodes', () => withReference('DecodeTokens', run)),
  );
}
