import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {linear} from '../../../ops/linear/index.js';
import {
  type PackedFormat,
  inputsOfRecord,
  packedFormats,
  recordBytes,
  recordsShape,
} from '../../../ops/weights/formats.js';
import {readCodes, writeRow} from '../../../ops/weights/records.js';
import {unpack} from '../../../ops/unpack/index.js';
import {describeOnBackends} from '../../support/backends.js';
import {packedMatrix} from '../../support/packed_matrix.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

const formats = Object.keys(packedFormats) as PackedFormat[];

describe('records of packed weights', () => {
  it('have the bytes that the formats say', () => {
    expect(formats.map(recordBytes)).to.deep.equal([160, 272, 288, 288, 512, 512]);
    expect(recordsShape('packed4', 33, 9)).to.deep.equal([2, 2, 40]);
  });

  it('put each code, scale and minimum where the kernels look for it', () => {
    const bytes = new Uint8Array(160);
    const codes = Uint8Array.from({length: inputsOfRecord}, (_, i) => i % 16);
    writeRow(bytes, 'packed4', 1, 5, {
      codes,
      scales: Uint16Array.of(0x1234),
      minima: Uint16Array.of(0xabcd),
    });
    expect([...bytes.subarray(20, 24)]).to.deep.equal([0x40, 0x51, 0x62, 0x73]);
    expect([...bytes.subarray(138, 140)]).to.deep.equal([0x34, 0x12]);
    expect([...bytes.subarray(154, 156)]).to.deep.equal([0xcd, 0xab]);
  });

  for (const format of formats) {
    it(`of ${format} are read as they were written`, () => {
      const blocks = 3;
      const bytes = new Uint8Array(2 * blocks * recordBytes(format));
      const row = (output: number) => {
        const numbers = (count: number) => Array.from({length: count}, (_, i) => (i + 1) * (output + 1) * 37);
        const {bits, groupSize, hasMinimum} = packedFormats[format];
        if (bits === 16) return Uint16Array.from(numbers(blocks * 32));
        return {
          codes:
            bits === 4
              ? Uint8Array.from(numbers(blocks * 32), x => x % 16)
              : Int8Array.from(numbers(blocks * 32)),
          scales: Uint16Array.from(numbers((blocks * 32) / groupSize)),
          ...(hasMinimum && {minima: Uint16Array.from(numbers(blocks))}),
        };
      };
      for (let output = 0; output < 16; output++) writeRow(bytes, format, blocks, output, row(output));
      for (let output = 0; output < 16; output++)
        expect(readCodes(bytes, format, blocks, output), String(output)).to.deep.equal(row(output));
    });
  }
});

describeOnBackends('packed matrices', () => {
  for (const format of formats) {
    it(`of ${format} are unpacked to what was written, and multiply like it`, async () => {
      const [inputs, outputs] = [70, 21];
      const {matrix, values} = packedMatrix(format, inputs, outputs, 3);
      const unpacked = unpack(matrix);
      await expectClose(unpacked, values, 1e-7);
      const x = tf.randomNormal([3, inputs]);
      const product = linear(x, matrix);
      await expectClose(product, await tf.matMul(x as tf.Tensor2D, unpacked).data(), 2e-3);
      tf.dispose([matrix.records, unpacked, x, product]);
    });
  }

  it('let a gradient through to what they multiply', async () => {
    const {matrix} = packedMatrix('packed4', 64, 16, 5);
    const x = tf.randomNormal([2, 64]);
    const gradient = tf.grad(a => tf.sum(linear(a, matrix)))(x);
    const expected = tf.tidy(() => tf.tile(tf.expandDims(tf.sum(unpack(matrix), 1)), [2, 1]));
    await expectClose(gradient, expected, 1e-5);
    await expectNoLeak(() => tf.grad(a => tf.sum(linear(a, matrix)))(x));
    tf.dispose([matrix.records, x, gradient, expected]);
  });
});
