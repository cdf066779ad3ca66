import {expect} from 'chai';
import fc from 'fast-check';
import {mkdtemp, readFile, readdir, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {bytesSource} from '../../../base/files/byte_source.js';
import {float16Values, toFloat16} from '../../../base/files/float_formats.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import {openSafetensors} from '../../../base/files/safetensors.js';
import {
  type TensorToWrite,
  writeSafetensors,
  writeSafetensorsFile,
} from '../../../base/files/write_safetensors.js';
import {InvalidArgumentError, TransferError} from '../../../base/errors.js';
import {rejection} from './rejection.js';

const f32 = (name: string, shape: number[], values: number[]): TensorToWrite => ({
  name,
  shape,
  dtype: 'F32',
  data: () => Float32Array.from(values),
});

describe('float16', () => {
  it('returns every float16 value to its own bits', () => {
    const values = float16Values();
    const bits = new Uint16Array(65536);
    toFloat16(values, bits);
    for (let i = 0; i < 65536; i++) {
      if (Number.isNaN(values[i])) expect(Number.isNaN(values[bits[i]!])).to.equal(true);
      else expect(bits[i]).to.equal(i);
    }
  });

  it('rounds any float32 to the nearest float16, ties to even', () => {
    const values = float16Values();
    const nearest = (x: number): number => {
      // by definition: of the two neighbours (bits of positive halves grow with their values) the nearer, or the even
      let low = 0;
      let high = 0x7bff;
      const magnitude = Math.abs(x);
      if (magnitude >= values[high]!) return high;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (values[middle]! <= magnitude) low = middle;
        else high = middle;
      }
      const below = magnitude - values[low]!;
      const above = values[high]! - magnitude;
      return below < above || (below === above && low % 2 === 0) ? low : high;
    };
    const halfway = fc.nat(0x7bfe).map(bits => (values[bits]! + values[bits + 1]!) / 2);
    const near = fc
      .tuple(halfway, fc.constantFrom(-1, 0, 1))
      .map(([x, step]) => Math.fround(x * (1 + step * 2 ** -23)));
    const small = fc.float({min: -65504, max: 65504, noNaN: true});
    fc.assert(
      fc.property(fc.oneof(near, small), x => {
        const bits = new Uint16Array(1);
        expect(toFloat16(Float32Array.of(x), bits)).to.equal(-1);
        expect(bits[0]! & 0x7fff).to.equal(nearest(x));
        expect(bits[0]! >> 15).to.equal(x < 0 || Object.is(x, -0) ? 1 : 0);
      }),
      {numRuns: 3000},
    );
  });

  it('tells where a finite value overflows', () => {
    const bits = new Uint16Array(4);
    expect(toFloat16(Float32Array.of(1, -65519.996, 65520, Infinity), bits)).to.equal(2);
    expect([...bits]).to.deep.equal([0x3c00, 0xfbff, 0x7c00, 0x7c00]);
  });
});

describe('writing safetensors', () => {
  it('is read back as written, for any tensors', async () => {
    const tensor = fc.record({
      name: fc.string({maxLength: 12}).filter(name => name !== '__metadata__'),
      dtype: fc.constantFrom('F32' as const, 'F16' as const, 'I32' as const, 'U8' as const),
      shape: fc.array(fc.nat(4), {maxLength: 3}),
      seed: fc.nat(100),
    });
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(tensor, {selector: t => t.name, maxLength: 6}), async specs => {
        const values = specs.map(({shape, seed}) => {
          const count = shape.reduce((product, axis) => product * axis, 1);
          return Array.from({length: count}, (_, i) => (seed + i * 3) % 251);
        });
        const tensors = specs.map(({name, dtype, shape}, i): TensorToWrite => {
          if (dtype === 'I32') return {name, dtype, shape, data: () => Int32Array.from(values[i]!)};
          if (dtype === 'U8') return {name, dtype, shape, data: () => Uint8Array.from(values[i]!)};
          return {name, dtype, shape, data: () => Float32Array.from(values[i]!)};
        });
        const bytes = await writeSafetensors(tensors, {metadata: {format: 'pt'}});
        expect(await writeSafetensors([...tensors].reverse(), {metadata: {format: 'pt'}})).to.deep.equal(
          bytes,
        );
        expect(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8).to.equal(0);
        const file = await openSafetensors(bytesSource(bytes));
        expect(file.tensors.size).to.equal(specs.length);
        for (const [i, {name, dtype, shape}] of specs.entries()) {
          expect(file.tensors.get(name)).to.deep.include({dtype, shape});
          expect([...(await file.readFloat32(name))]).to.deep.equal(values[i]);
        }
      }),
      {numRuns: 100},
    );
  });

  it('refuses data that does not fit, names twice, and values that float16 cannot hold', async () => {
    await rejection(writeSafetensors([f32('a', [3], [1, 2])]), InvalidArgumentError, /\[3\].*2 values/);
    await rejection(
      writeSafetensors([f32('a', [1], [1]), f32('a', [1], [1])]),
      InvalidArgumentError,
      /twice/,
    );
    await rejection(writeSafetensors([f32('__metadata__', [1], [1])]), InvalidArgumentError, /reserved/);
    await rejection(writeSafetensors([f32('a', [-1], [])]), InvalidArgumentError, /whole numbers/);
    const large: TensorToWrite = {
      name: 'a',
      shape: [2],
      dtype: 'F16',
      data: () => Float32Array.of(1, -70000),
    };
    await rejection(writeSafetensors([large]), InvalidArgumentError, /-70000 at index 1/);
  });
});

describe('writing safetensors files', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-'));
  });
  afterEach(() => rm(folder, {recursive: true}));

  async function* entries(): AsyncGenerator<TensorToWrite> {
    yield await Promise.resolve(f32('b', [2], [1, 2]));
    yield f32('a', [1, 1], [3]);
  }

  it('writes into a new folder, asking for one tensor at a time', async () => {
    const path = join(folder, 'new', 'model.safetensors');
    await writeSafetensorsFile(path, entries(), {metadata: {format: 'pt'}});
    const file = await openTensorPath(path);
    expect([...(await file.readFloat32('b'))]).to.deep.equal([1, 2]);
    await file.close();
    expect(await readdir(join(folder, 'new'))).to.deep.equal(['model.safetensors']);
  });

  it('leaves the old file and nothing else when the data fails half-way', async () => {
    const path = join(folder, 'model.safetensors');
    await writeFile(path, 'old');
    const failing: TensorToWrite = {
      name: 'z',
      shape: [1],
      dtype: 'F32',
      data: () => Promise.reject(new Error('broken')),
    };
    await rejection(writeSafetensorsFile(path, [f32('a', [1], [1]), failing]), Error, /broken/);
    expect(await readdir(folder)).to.deep.equal(['model.safetensors']);
    expect(await readFile(path, 'utf8')).to.equal('old');
  });

  it('gives a TransferError where the folder cannot be', async () => {
    await writeFile(join(folder, 'file'), '');
    await rejection(
      writeSafetensorsFile(join(folder, 'file', 'model.safetensors'), entries()),
      TransferError,
    );
  });
});
