import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {embed} from '../../../ops/embed/index.js';
import {linear, linears} from '../../../ops/linear/index.js';
import {type PackedFormat, packedFormats, recordsShape} from '../../../ops/weights/formats.js';
import type {PackedMatrix} from '../../../ops/weights/matrix.js';
import {writeRow} from '../../../ops/weights/records.js';
import {swigluLinear} from '../../../ops/swiglu_linear/index.js';
import {unpack} from '../../../ops/unpack/index.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {gpuDevice, withLimit} from '../../support/gpu_device.js';
import {expectAsOnCpu} from '../../support/on_both.js';
import {packedMatrix} from '../../support/packed_matrix.js';
import {randomFloats} from '../../support/random.js';
import {skip} from '../../support/skip.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

const formats = Object.keys(packedFormats) as PackedFormat[];

interface Sizes {
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** Each shader of products, with tails of rows, blocks, groups and tiles. */
const products: readonly (Sizes & {bias?: true; residual?: true})[] = [
  {rows: 1, inputs: 32, outputs: 8},
  {rows: 1, inputs: 4, outputs: 1},
  {rows: 1, inputs: 588, outputs: 19},
  {rows: 3, inputs: 260, outputs: 77, bias: true, residual: true},
  {rows: 8, inputs: 64, outputs: 16, bias: true, residual: true},
  {rows: 9, inputs: 36, outputs: 33, bias: true},
  {rows: 130, inputs: 100, outputs: 70, bias: true},
];

/** What float32 sums of `terms` products may lose, for sums of magnitudes: see `linear`. */
const roundingOf = (terms: number) => (terms + 4) * 2 ** -24;

async function expectProduct(
  format: PackedFormat | 'float32',
  given: (typeof products)[number],
): Promise<void> {
  const {rows, inputs, outputs} = given;
  const numbers = randomFloats(1, rows * inputs);
  const packed = format === 'float32' ? undefined : packedMatrix(format, inputs, outputs, inputs + outputs);
  const weights = packed?.values ?? randomFloats(2, inputs * outputs);
  const bias = given.bias && randomFloats(3, outputs);
  const residual = given.residual && randomFloats(4, rows * outputs);
  const matrix = packed?.matrix ?? tf.tensor2d(weights, [inputs, outputs]);
  const tensors = [
    tf.tensor2d(numbers, [rows, inputs]),
    bias && tf.tensor1d(bias),
    residual && tf.tensor1d(residual),
  ];
  const product = linear(tensors[0]!, matrix, {bias: tensors[1], residual: tensors[2]});
  const actual = await product.data();
  for (let at = 0; at < rows * outputs; at++) {
    const [row, output] = [Math.floor(at / outputs), at % outputs];
    const terms = [bias?.[output] ?? 0, residual?.[at] ?? 0];
    for (let i = 0; i < inputs; i++) terms.push(numbers[row * inputs + i]! * weights[i * outputs + output]!);
    const sum = terms.reduce((a, b) => a + b, 0);
    const allowed = roundingOf(inputs) * terms.reduce((a, b) => a + Math.abs(b), 0);
    expect(actual[at], `${rows} x ${inputs} x ${outputs}: row ${row}, output ${output}`).to.be.closeTo(
      sum,
      allowed,
    );
  }
  tf.dispose([product, 'records' in matrix ? matrix.records : matrix, ...tensors.flatMap(x => x ?? [])]);
}

describeOnBackends(
  'products with weights',
  () => {
    for (const format of [...formats, 'float32'] as const) {
      it(`are sums of float32 products: ${format}`, async () => {
        for (const sizes of products) await expectProduct(format, sizes);
      });
    }

    it('take any number of inputs and outputs', async () => {
      for (const format of ['packed4', 'float32'] as const) {
        for (const rows of [1, 2, 20]) await expectProduct(format, {rows, inputs: 67, outputs: 13});
      }
    });

    it('of one x are one op with several results', () =>
      expectAsOnCpu(
        () => ({
          x: tf.tensor2d(randomFloats(5, 2 * 64), [2, 64]),
          query: packedMatrix('packed4', 64, 16, 6).matrix,
          key: packedMatrix('packed8By16', 64, 8, 7).matrix,
          value: tf.tensor2d(randomFloats(8, 64 * 8), [64, 8]),
          bias: tf.tensor1d(randomFloats(9, 8)),
        }),
        ({x, query, key, value, bias}) =>
          linears(x, [{matrix: query, shape: [2, 2, 1, 8]}, {matrix: key}, {matrix: value, bias}]),
        1e-5,
      ));

    it('read no row but their own: neighbours may be infinite', async () => {
      for (const rows of [2, 12]) {
        // 33 inputs: the block of the last one has room for 31 more
        const numbers = randomFloats(1, rows * 33);
        numbers.fill(Infinity, 33, 66);
        const {matrix} = packedMatrix('packed4', 33, 8, 3);
        const x = tf.tensor2d(numbers, [rows, 33]);
        const product = linear(x, matrix);
        const firstRow = (await product.data()).subarray(0, 8);
        const alone = linear(tf.tensor2d(numbers.subarray(0, 33), [1, 33]), matrix);
        await expectClose(firstRow, await alone.data(), 1e-5);
        tf.dispose([matrix.records, x, product, alone]);
      }
    });

    it('of a gate and of what it gates are one op', async () => {
      for (const rows of [1, 3, 40]) {
        for (const format of ['packed4', 'float16'] as const) {
          await expectAsOnCpu(
            () => ({
              // gates from -150 to 150: e^150 overflows float32
              x: tf.mul(tf.tensor2d(randomFloats(5, rows * 64), [rows, 64]), 3),
              gate: packedMatrix(format, 64, 40, 6).matrix,
              up: packedMatrix('packed8Min', 64, 40, 7).matrix,
              gateBias: tf.tensor1d(randomFloats(8, 40, 60)),
              upBias: tf.tensor1d(randomFloats(9, 40)),
            }),
            ({x, gate, up, ...biases}) => swigluLinear(x, gate, up, biases),
            3e-5,
          );
        }
      }
    });

    it('leave nothing behind', async () => {
      const {matrix} = packedMatrix('packed8', 256, 128, 3);
      const x = tf.ones([2, 256]);
      await expectNoLeak(() => linears(x, [{matrix}, {matrix}]));
      await expectNoLeak(() => swigluLinear(x, matrix, matrix));
      await expectNoLeak(() => withLimit(20_000, () => linear(x, matrix)));
      tf.dispose([matrix.records, x]);
    });
  },
  testBackends.filter(backend => backend === 'webgpu'),
);

describeOnBackends(
  'packed weights',
  () => {
    for (const format of formats) {
      it(`are unpacked bit for bit: ${format}`, async () => {
        for (const [inputs, outputs] of [
          [70, 21],
          [1, 1],
          [32, 8],
          [100, 40],
        ] as const) {
          await expectAsOnCpu(
            () => packedMatrix(format, inputs, outputs, 10).matrix,
            matrix => unpack(matrix),
            0,
          );
        }
      });
    }

    it('have scales, minima and numbers of all magnitudes of float16', async () => {
      // the smallest subnormal number, the largest, the smallest normal one, the largest number, zero; and their negatives
      const magnitudes = [0x0001, 0x03ff, 0x0400, 0x7bff, 0x0000];
      const halves = magnitudes.flatMap(half => [half, half | 0x8000]);
      for (const format of ['packed4', 'packed8Min', 'packed8By16', 'float16'] as const) {
        await expectAsOnCpu(
          () => matrixOfHalves(format, halves),
          matrix => unpack(matrix),
          0,
        );
      }
    });

    it('of bfloat16 have the range of float32', async () => {
      const numbers = Uint16Array.of(0x0080, 0x8080, 0x7f7f, 0xff7f, 0x3f80, 0x0000, 0x8000, 0x4049);
      await expectAsOnCpu(
        () => matrixOfHalves('bfloat16', [...numbers]),
        matrix => unpack(matrix),
        0,
      );
    });

    it('are embedded bit for bit, with zeros for ids beyond the table', async () => {
      for (const format of formats) {
        for (const bytes of [2 ** 27, 16_500]) {
          const {matrix, values} = packedMatrix(format, 90, 209, 11);
          const ids = [0, 208, 7, 8, 7, 103, 160, 209, 215, -1, 100_000, 64];
          const rows = withLimit(bytes, () => embed(tf.tensor2d(ids, [2, 6], 'int32'), matrix));
          const expected = ids.flatMap(id =>
            Array.from({length: 90}, (_, i) => (id < 0 || id > 208 ? 0 : values[i * 209 + id]!)),
          );
          expect(rows.shape).to.deep.equal([2, 6, 90]);
          await expectClose(await rows.data(), expected, 0, `${format} by ${bytes} bytes`);
          tf.dispose([rows, matrix.records]);
        }
      }
    });

    it('are embedded from float32 tables as well', async () => {
      const table = tf.tensor2d(randomFloats(12, 21 * 70), [21, 70]);
      const ids = [20, 0, 21, -3, 7];
      const rows = embed(tf.tensor2d(ids, [1, 5], 'int32'), table);
      const numbers = await table.data();
      const expected = ids.flatMap(id =>
        id < 0 || id > 20 ? new Array<number>(70).fill(0) : [...numbers.subarray(70 * id, 70 * (id + 1))],
      );
      await expectClose(await rows.data(), expected, 0);
      tf.dispose([table, rows]);
    });

    it('larger than a binding are multiplied a part at a time', async () => {
      for (const rows of [1, 20]) {
        await expectAsOnCpu(
          () => ({
            x: tf.tensor2d(randomFloats(5, rows * 96), [rows, 96]),
            // 26 groups of 816 bytes
            matrix: packedMatrix('packed8', 96, 205, 6).matrix,
            bias: tf.tensor1d(randomFloats(7, 205)),
          }),
          ({x, matrix, bias}) => withLimit(16_500, () => linear(x, matrix, {bias})),
          1e-5,
        );
      }
    });

    it('larger than the real limit of the driver are multiplied', async function () {
      const most = gpuDevice().limits.maxStorageBufferBindingSize;
      if (most > 2 ** 28)
        skip(this, `this driver binds ${most} bytes; only a small limit is worth a matrix of its size`);
      const outputs = 8 * (Math.floor(most / (4 * 64 * 68)) + 24);
      const [groups, blocks, words] = recordsShape('packed8', 2048, outputs);
      const numbers = new Int32Array(groups * blocks * words);
      // the codes of output c of a group are c, and the scale of group g is 2^(g % 4)
      for (let at = 0; at < numbers.length; at += words) {
        for (let word = 0; word < 64; word++) numbers[at + word] = 0x01010000 + (word % 4) * 0x02020202;
        const group = Math.floor(at / (blocks * words));
        numbers.fill(0x3c003c00 + (group % 4) * 0x04000400, at + 64, at + 68);
      }
      const matrix = {
        ...({format: 'packed8', inputs: 2048, outputs} as const),
        records: tf.tensor3d(numbers, [groups, blocks, words], 'int32'),
      };
      const x: tf.Tensor2D = tf.ones([1, 2048]);
      const product = linear(x, matrix);
      const expected = Float32Array.from(
        {length: outputs},
        (_, output) => 2048 * (output % 8) * 2 ** (Math.floor(output / 8) % 4),
      );
      await expectClose(await product.data(), expected, 0);
      tf.dispose([matrix.records, x, product]);
    });

    it('larger than a buffer, and float32 matrices larger than a binding, are refused', () =>
      tf.tidy(() => {
        const {matrix} = packedMatrix('packed8', 96, 205, 6);
        const x = tf.ones([1, 96]);
        const {numDataBuffers} = tf.memory();
        expect(() =>
          withLimit(16_500, () => withLimit(20_000, () => linear(x, matrix), 'maxBufferSize')),
        ).to.throw(
          InvalidArgumentError,
          /\[26, 3, 68\] takes 1 MiB.*maxBufferSize.*weights: 'packed8' or 'packed4'/,
        );
        const dense: tf.Tensor2D = tf.ones([96, 205]);
        expect(() => withLimit(16_500, () => linear(x, dense))).to.throw(
          InvalidArgumentError,
          /96, 205\] takes 1 MiB.*weights: 'packed8' or 'packed4'/,
        );
        expect(tf.memory().numDataBuffers).to.equal(numDataBuffers + 1);
      }));
  },
  testBackends.filter(backend => backend === 'webgpu'),
);

/** A matrix of 32 inputs, whose scales, minima or numbers are these. */
function matrixOfHalves(format: PackedFormat, halves: readonly number[]): PackedMatrix {
  const {bits} = packedFormats[format];
  const outputs = halves.length;
  const [groups, blocks, words] = recordsShape(format, 32, outputs);
  const bytes = new Uint8Array(4 * groups * blocks * words);
  const codes = Int8Array.from({length: 32}, (_, i) => (bits === 4 ? i % 16 : 8 * i - 128));
  for (const [output, half] of halves.entries()) {
    const other = halves[outputs - 1 - output]!;
    const row =
      bits === 16
        ? Uint16Array.from({length: 32}, (_, i) => halves[(output + i) % outputs]!)
        : {codes, scales: Uint16Array.of(half, other), minima: Uint16Array.of(other)};
    writeRow(bytes, format, blocks, output, row);
  }
  const records = tf.tensor3d(new Int32Array(bytes.buffer), [groups, blocks, words], 'int32');
  return {format, inputs: 32, outputs, records};
}
