import {expect} from 'chai';
import fc from 'fast-check';
import {mkdtemp, readFile, readdir, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {bytesSource} from '../../../base/files/byte_source.js';
import {toBfloat16} from '../../../base/files/float_formats.js';
import {openGguf} from '../../../base/files/gguf.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import {
  type GgufContent,
  type GgufTensor,
  ggufChunks,
  writeGgufFile,
} from '../../../base/files/write_gguf.js';
import {type GgufValue, float32, uint32} from '../../../base/files/write_gguf_metadata.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {concat} from './file_bytes.js';
import {rejection} from './rejection.js';

const golden = new URL('../../golden/weights/types.gguf', import.meta.url);

async function bytesOf(content: Partial<GgufContent>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of ggufChunks({metadata: new Map(), tensors: [], ...content})) chunks.push(chunk);
  return concat(...chunks);
}

const f32 = (name: string, shape: number[], values: number[]): GgufTensor => ({
  ...{name, shape, dtype: 'F32'},
  values: () => Float32Array.from(values),
});

describe('writing GGUF', () => {
  it('gives the bytes of gguf-python for every type of metadata and tensor', async () => {
    const expected = await readFile(golden);
    const file = await openGguf(bytesSource(expected));
    const scalar = (type: Exclude<GgufValue, string | boolean>, key: string) =>
      [`test.${key}`, type] as const;
    const tensors = [...file.tensors.values()].map(({name, dtype, shape, byteLength}): GgufTensor => {
      if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16')
        return {name, dtype, shape, values: () => file.readFloat32(name)};
      // in three pieces of uneven length
      const start = offsetOf(expected, name);
      const cuts = [0, 7, byteLength >> 1, byteLength].map(cut => start + cut);
      return {name, dtype, shape, bytes: () => [0, 1, 2].map(i => expected.subarray(cuts[i], cuts[i + 1]))};
    });
    const metadata = new Map<string, GgufValue>([
      ['general.architecture', 'llama'],
      scalar({type: 'uint8', value: 200}, 'uint8'),
      scalar({type: 'int8', value: -100}, 'int8'),
      scalar({type: 'uint16', value: 60000}, 'uint16'),
      scalar({type: 'int16', value: -30000}, 'int16'),
      scalar(uint32(4000000000), 'uint32'),
      scalar({type: 'int32', value: -2000000000}, 'int32'),
      scalar(float32(0.1), 'float32'),
      scalar({type: 'float64', value: 0.1}, 'float64'),
      scalar({type: 'uint64', value: 2n ** 64n - 1n}, 'uint64'),
      scalar({type: 'uint64', value: 12345}, 'uint64_small'),
      scalar({type: 'int64', value: -(2n ** 63n)}, 'int64'),
      ['test.bool', true],
      ['test.string', 'κλμ 🙂\ufeff'],
      ['test.strings', ['a', '', 'ü']],
      ['test.int32s', Int32Array.of(-1, 0, 1)],
      ['test.float32s', Float32Array.of(0.5, -0.25)],
      ['test.bools', [true, false]],
      ['test.nested', [Int32Array.of(1, 2), Int32Array.of(3)]],
    ]);
    const written = await bytesOf({metadata, tensors});
    expect(Buffer.compare(written, expected)).to.equal(0);
  });

  it('is read back as written, for any tensors, aligned as the metadata says', async () => {
    const tensor = fc.record({
      name: fc.string({minLength: 1, maxLength: 12}),
      dtype: fc.constantFrom('F32' as const, 'F16' as const, 'BF16' as const),
      shape: fc.array(fc.nat(4), {maxLength: 4}),
      seed: fc.nat(100),
    });
    const specs = fc.uniqueArray(tensor, {selector: ({name}) => name, maxLength: 6});
    const alignments = fc.constantFrom(undefined, 8, 64, 4096);
    await fc.assert(
      fc.asyncProperty(specs, alignments, async (given, alignment) => {
        const values = given.map(({shape, seed}) =>
          Float32Array.from(
            {length: shape.reduce((product, axis) => product * axis, 1)},
            (_, i) => (seed + i * 3) % 251,
          ),
        );
        const tensors = given.map(({name, dtype, shape}, i): GgufTensor => ({
          name,
          dtype,
          shape,
          values: () => values[i]!,
        }));
        const metadata = new Map<string, GgufValue>(
          alignment === undefined ? [] : [['general.alignment', uint32(alignment)]],
        );
        const bytes = await bytesOf({metadata, tensors});
        expect(bytes.length % (alignment ?? 32)).to.equal(0);
        const file = await openGguf(bytesSource(bytes));
        expect([...file.tensors.keys()]).to.deep.equal(given.map(({name}) => name));
        for (const [i, {name, dtype, shape}] of given.entries()) {
          expect(file.tensors.get(name)).to.deep.include({dtype, shape});
          expect(await file.readFloat32(name)).to.deep.equal(values[i]);
        }
      }),
      {numRuns: 100},
    );
  });

  it('refuses what the format or llama.cpp does not read', async () => {
    const refused = (content: Partial<GgufContent>, message: RegExp) =>
      rejection(bytesOf(content), InvalidArgumentError, message);
    const blocks = (dtype: string, shape: number[]): GgufTensor => ({
      ...{name: 'w', dtype, shape},
      bytes: () => [new Uint8Array(18)],
    });
    await refused({tensors: [f32('a', [3], [1, 2])]}, /F32 \[3\].* takes 12 bytes; its data has 8/);
    await refused({tensors: [f32('a', [1], [1]), f32('a', [1], [1])]}, /"a" is given twice/);
    await refused({tensors: [f32('é'.repeat(32), [1], [1])]}, /1 to 63 bytes/);
    await refused({tensors: [f32('', [1], [1])]}, /1 to 63 bytes/);
    await refused({tensors: [f32('a', [1, 1, 1, 1, 1], [1])]}, /at most 4 axes/);
    await refused({tensors: [f32('a', [-1], [1])]}, /\[-1\]/);
    await refused({tensors: [blocks('Q4_0', [2, 16])]}, /rows of 16 values.* blocks of 32 \(Q4_0\)/);
    await refused({tensors: [blocks('Q4_9', [32])]}, /Q4_9; the types are F32, F16, Q4_0/);
    await refused({tensors: [blocks('Q4_0', [2, 32])]}, /takes 36 bytes; its data has 18/);
    const large = {...f32('a', [2], []), dtype: 'F16' as const, values: () => Float32Array.of(1, -70000)};
    await refused({tensors: [large]}, /-70000 at index 1, beyond float16's 65504/);
    const metadata = (value: GgufValue) => ({metadata: new Map([['general.alignment', value]])});
    for (const alignment of [uint32(48), uint32(4), 'many', {type: 'uint64', value: 32} as const])
      await refused(metadata(alignment), /power of two from 8 on/);
    const number = (value: GgufValue) => ({metadata: new Map([['key', value]])});
    await refused(number(uint32(-1)), /"key" is -1, which is no uint32/);
    await refused(number(uint32(1.5)), /"key" is 1.5/);
    await refused(number({type: 'int64', value: 2n ** 63n}), /9223372036854775808, which is no int64/);
    const mixed = ['a', true] as unknown as readonly string[];
    await refused(number(mixed), /"key" is \["a",true\]; an array holds only texts/);
  });

  it('writes a file atomically: what fails leaves the old one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'eigenkv-'));
    try {
      const path = join(folder, 'new', 'model.gguf');
      await writeGgufFile(path, {metadata: new Map([['a', 'b']]), tensors: [f32('x', [1, 2], [1, 2])]});
      const file = await openTensorPath(path);
      expect(file.metadata.get('a')).to.equal('b');
      expect([...(await file.readFloat32('x'))]).to.deep.equal([1, 2]);
      await file.close();
      await writeFile(path, 'old');
      const failing: GgufTensor = {
        ...{name: 'z', shape: [1], dtype: 'F32'},
        values: () => Promise.reject(new Error('broken')),
      };
      await rejection(
        writeGgufFile(path, {metadata: new Map(), tensors: [f32('a', [1], [1]), failing]}),
        Error,
        /broken/,
      );
      expect(await readdir(join(folder, 'new'))).to.deep.equal(['model.gguf']);
      expect(await readFile(path, 'utf8')).to.equal('old');
    } finally {
      await rm(folder, {recursive: true});
    }
  });
});

describe('bfloat16', () => {
  const bitsOf = (...values: number[]): number[] => {
    const halves = new Uint16Array(values.length);
    toBfloat16(Float32Array.from(values), halves);
    return [...halves];
  };

  it('rounds to nearest, ties to even, and keeps NaN and infinities', () => {
    const float = (word: number) => new Float32Array(Uint32Array.of(word).buffer)[0]!;
    expect(bitsOf(1, -2, 0, -0)).to.deep.equal([0x3f80, 0xc000, 0, 0x8000]);
    expect(bitsOf(float(0x3f808000), float(0x3f818000), float(0x3f808001), float(0x3f807fff))).to.deep.equal([
      0x3f80, 0x3f82, 0x3f81, 0x3f80,
    ]);
    expect(bitsOf(Infinity, -Infinity)).to.deep.equal([0x7f80, 0xff80]);
    expect(bitsOf(NaN)[0]! & 0x7fff).to.be.above(0x7f80);
    expect(bitsOf(float(0x00008001))).to.deep.equal([1]); // subnormal
  });

  it('tells where a finite value overflows', () => {
    const halves = new Uint16Array(3);
    expect(toBfloat16(Float32Array.of(1, 3.38e38, 3.4e38), halves)).to.equal(2);
    expect(toBfloat16(Float32Array.of(1, Infinity), halves)).to.equal(-1);
  });
});

/** Where the data of a tensor begins, by the offset in its entry: name, axes, type, offset. */
function offsetOf(bytes: Buffer, name: string): number {
  const at = bytes.indexOf(name) + name.length;
  const axes = bytes.readUInt32LE(at);
  const offset = Number(bytes.readBigUInt64LE(at + 4 + 8 * axes + 4));
  const last = bytes.indexOf('vector.bias') + 'vector.bias'.length + 4 + 8 + 4 + 8;
  return Math.ceil(last / 32) * 32 + offset;
}
