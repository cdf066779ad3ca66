import {expect} from 'chai';
import {readFile} from 'node:fs/promises';
import {bytesSource} from '../../../base/files/byte_source.js';
import type {CodedRow} from '../../../base/files/coded_row.js';
import {float16Values} from '../../../base/files/float_formats.js';
import {openGguf} from '../../../base/files/gguf.js';
import {openSafetensors} from '../../../base/files/safetensors.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {encodingOf, randomBlocks} from '../../support/random_blocks.js';
import {ggufBytes} from './file_bytes.js';
import {rejection} from './rejection.js';

const golden = new URL('../../golden/weights/', import.meta.url);
const exact = ['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'IQ4_NL', 'TQ1_0', 'TQ2_0'];
const rounded = ['Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'IQ4_XS', 'MXFP4'];
const halves = float16Values();

/** The weights of codes, and the bound that `quantized` states for the error of each. */
function weightsOf({codes, scales, minima}: CodedRow): {values: Float32Array; bounds: Float32Array} {
  const values = new Float32Array(codes.length);
  const bounds = new Float32Array(codes.length);
  const groupSize = codes.length / scales.length;
  const errorOf = (number: number) => Math.max(2 ** -11 * Math.abs(number), 2 ** -25) * (1 + 2 ** -10);
  codes.forEach((code, i) => {
    const scale = halves[scales[Math.floor(i / groupSize)]!]!;
    const minimum = minima === undefined ? 0 : halves[minima[Math.floor(i / 32)]!]!;
    values[i] = scale * code + minimum;
    bounds[i] = errorOf(scale) * Math.abs(code) + (minima === undefined ? 0 : errorOf(minimum));
  });
  return {values, bounds};
}

describe('Codes of GGUF blocks', () => {
  it('are the weights of gguf-python: exactly, or within the stated bound', async () => {
    const file = await openGguf(bytesSource(await readFile(new URL('types.gguf', golden))));
    const expected = await openSafetensors(bytesSource(await readFile(new URL('types.safetensors', golden))));
    for (const dtype of [...exact, ...rounded]) {
      const name = `${dtype}.weight`;
      const [start, end] = [0, file.tensors.get(name)!.shape[0]!];
      const stored = await file.readAsStored(name, {start, end});
      if (stored === undefined || stored instanceof Uint16Array) throw new Error(`${dtype} has no codes`);
      const {values, bounds} = weightsOf(stored);
      const wanted = await expected.readFloat32(name);
      expect(values.length).to.equal(wanted.length);
      for (let i = 0; i < values.length; i++) {
        const bound = exact.includes(dtype) ? 0 : bounds[i]!;
        expect(Math.abs(values[i]! - wanted[i]!), `${dtype} ${i}`).to.be.at.most(bound);
      }
    }
  });

  it('are those of random blocks, scales below the normal ones included', () => {
    for (const dtype of [...exact, ...rounded]) {
      const encoding = encodingOf(dtype);
      for (const spread of [1, 2 ** -10, 2 ** -18]) {
        const blocks = randomBlocks(dtype, 60, 3, spread);
        const wanted = new Float32Array(60 * encoding.blockSize);
        encoding.decode!(blocks, wanted, 0);
        const {values, bounds} = weightsOf(encoding.asStored!(blocks) as CodedRow);
        for (let i = 0; i < values.length; i++) {
          const bound = exact.includes(dtype) ? 0 : bounds[i]!;
          expect(Math.abs(values[i]! - wanted[i]!), `${dtype} ${i}`).to.be.at.most(bound);
        }
      }
    }
  });

  it('have an infinite scale or minimum if float16 cannot hold it', () => {
    const blocksOf = (dtype: string, edit: (bytes: DataView) => void) => {
      const {asStored, blockBytes} = encodingOf(dtype);
      const bytes = new Uint8Array(blockBytes);
      edit(new DataView(bytes.buffer));
      return asStored!(bytes) as CodedRow;
    };
    const large = 0x7800; // 32,768
    const q4 = blocksOf('Q4_0', view => {
      view.setUint16(0, large, true);
    });
    expect([halves[q4.scales[0]!], halves[q4.minima![0]!]]).to.deep.equal([32768, -Infinity]);
    const q6 = blocksOf('Q6_K', view => {
      view.setUint16(208, large, true);
      view.setInt8(192 + 5, -3);
      view.setInt8(192 + 6, 1);
    });
    expect(Array.from(q6.scales.subarray(4, 8), bits => halves[bits])).to.deep.equal([
      0,
      -Infinity,
      32768,
      0,
    ]);
  });
});

describe('Rows of a tensor', () => {
  it('are read alone, in every dtype, as they are in the whole', async () => {
    const file = await openGguf(bytesSource(await readFile(new URL('types.gguf', golden))));
    for (const [name, {shape, dtype}] of file.tensors) {
      const columns = shape.at(-1)!;
      const whole = await file.readFloat32(name);
      const rows = whole.length / columns;
      const [start, end] = [Math.floor(rows / 3), rows];
      const part = await file.readFloat32(name, {start, end});
      expect(part, name).to.deep.equal(whole.subarray(start * columns));
      const stored = await file.readAsStored(name, {start, end});
      if (['F16', 'BF16'].includes(dtype)) {
        expect(stored, name).to.be.instanceOf(Uint16Array).with.length(part.length);
      } else if ([...exact, ...rounded].includes(dtype)) {
        expect(stored, name).to.have.property('codes').with.length(part.length);
      } else expect(stored, name).to.equal(undefined);
    }
    expect([...(await file.readFloat32('Q8_0.weight', {start: 1, end: 1}))]).to.deep.equal([]);
  });

  it('are memory of their own: what becomes of it does not touch the file', async () => {
    const bytes = await readFile(new URL('types.gguf', golden));
    const file = await openGguf(bytesSource(bytes));
    const before = Buffer.from(bytes);
    for (const [name, {shape}] of file.tensors) {
      const rows = {start: 0, end: shape.slice(0, -1).reduce((product, axis) => product * axis, 1)};
      (await file.readFloat32(name, rows)).fill(7);
      const stored = await file.readAsStored(name, rows);
      for (const numbers of stored instanceof Uint16Array ? [stored] : Object.values(stored ?? {}))
        (numbers as Uint16Array | undefined)?.fill(7);
    }
    expect(before.equals(bytes)).to.equal(true);
  });

  it('are refused if there are none such', async () => {
    const tensor = {name: 'a', axes: [2, 3], type: 1, offset: 0};
    const file = await openGguf(bytesSource(ggufBytes({tensors: [tensor], data: new Uint8Array(12)})));
    for (const [start, end] of [
      [-1, 1],
      [0, 4],
      [2, 1],
      [0.5, 1],
      [NaN, 1],
    ] as const) {
      const message = /Rows .* of tensor "a" were asked for, which has 3: \[3, 2\]/;
      await rejection(file.readFloat32('a', {start, end}), InvalidArgumentError, message);
      await rejection(file.readAsStored('a', {start, end}), InvalidArgumentError, message);
    }
  });
});
