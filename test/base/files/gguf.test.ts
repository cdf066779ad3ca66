import {expect} from 'chai';
import fc from 'fast-check';
import {readFile} from 'node:fs/promises';
import {type ByteSource, bytesSource} from '../../../base/files/byte_source.js';
import {openGguf} from '../../../base/files/gguf.js';
import {
  metadataBoolean,
  metadataNumber,
  metadataNumbers,
  metadataString,
  metadataStrings,
} from '../../../base/files/gguf_metadata.js';
import {openSafetensors} from '../../../base/files/safetensors.js';
import {FormatError, ModelError} from '../../../base/errors.js';
import {type GgufParts, concat, ggufBytes, ggufString, ggufTypes, keyValue, u32, u64} from './file_bytes.js';
import {rejection} from './rejection.js';

const golden = new URL('../../golden/weights/', import.meta.url);
const open = (bytes: Uint8Array) => openGguf(bytesSource(bytes, 'test.gguf'));

/** A source that remembers the largest range asked for and refuses to allocate absurd ones. */
function watched(bytes: Uint8Array): ByteSource & {largest: number; total: number} {
  const source = bytesSource(bytes, 'test.gguf');
  const seen = {
    ...source,
    largest: 0,
    total: 0,
    read(offset: number, length: number) {
      seen.largest = Math.max(seen.largest, length);
      seen.total += length;
      return source.read(offset, length);
    },
  };
  return seen;
}

describe('GGUF', () => {
  it('dequantises every type bit for bit as gguf-python does', async () => {
    const file = await open(await readFile(new URL('types.gguf', golden)));
    const expected = await openSafetensors(bytesSource(await readFile(new URL('types.safetensors', golden))));
    expect([...file.tensors.keys()].sort()).to.deep.equal([...expected.tensors.keys()].sort());
    for (const [name, tensor] of expected.tensors) {
      expect(file.tensors.get(name)?.shape, name).to.deep.equal(tensor.shape);
      expect(await file.readFloat32(name), name).to.deep.equal(await expected.readFloat32(name));
    }
    expect(file.tensors.get('Q6_K.weight')).to.include({dtype: 'Q6_K', byteLength: 4 * 210});
  });

  it('reads every type of metadata', async () => {
    const {metadata} = await open(await readFile(new URL('types.gguf', golden)));
    expect(Object.fromEntries([...metadata].filter(([key]) => key.startsWith('test.')))).to.deep.equal({
      'test.uint8': 200,
      'test.int8': -100,
      'test.uint16': 60000,
      'test.int16': -30000,
      'test.uint32': 4000000000,
      'test.int32': -2000000000,
      'test.float32': Math.fround(0.1),
      'test.float64': 0.1,
      'test.uint64': 2n ** 64n - 1n,
      'test.uint64_small': 12345,
      'test.int64': -(2n ** 63n),
      'test.bool': true,
      'test.string': 'κλμ 🙂\ufeff',
      'test.strings': ['a', '', 'ü'],
      'test.int32s': Int32Array.of(-1, 0, 1),
      'test.float32s': Float32Array.of(0.5, -0.25),
      'test.bools': [true, false],
      'test.nested': [Int32Array.of(1, 2), Int32Array.of(3)],
    });
    expect(metadataString(metadata, 'general.architecture')).to.equal('llama');
    expect(metadataNumber(metadata, 'test.uint8')).to.equal(200);
    expect(metadataBoolean(metadata, 'test.bool')).to.equal(true);
    expect(metadataStrings(metadata, 'test.strings')).to.deep.equal(['a', '', 'ü']);
    expect(metadataNumbers(metadata, 'test.int32s')).to.deep.equal(Int32Array.of(-1, 0, 1));
    expect(metadataNumber(metadata, 'absent')).to.equal(undefined);
    expect(() => metadataNumber(metadata, 'test.string')).to.throw(ModelError, /test\.string.*a number/);
    expect(() => metadataStrings(metadata, 'test.int32s')).to.throw(ModelError);
  });

  it('reads only the header to open, and a tensor in pieces', async () => {
    const values = 3 * 1024 * 1024 + 5;
    const bytes = ggufBytes({
      tensors: [{name: 'a', axes: [values], type: 0, offset: 0}],
      data: new Uint8Array(values * 4),
    });
    const source = watched(bytes);
    const file = await openGguf(source);
    expect(source.total).to.be.at.most(64 * 1024);
    new Float32Array(bytes.buffer, bytes.length - values * 4).fill(2.5);
    source.largest = 0;
    const read = await file.readFloat32('a');
    expect(source.largest).to.be.at.most(4 * 1024 * 1024);
    expect(read).to.have.length(values);
    expect(read.every(value => value === 2.5)).to.equal(true);
  });

  it('reads a header larger than its first ranges', async () => {
    const words = Array.from({length: 20_000}, (_, i) => `token ${i}`);
    const strings = concat(u32(ggufTypes.string), u64(words.length), ...words.map(ggufString));
    const long = 'x'.repeat(300_000);
    const bytes = ggufBytes({
      keys: [
        keyValue('words', ggufTypes.array, strings),
        keyValue('long', ggufTypes.string, ggufString(long)),
      ],
      tensors: [{name: 'a', axes: [2], type: 0, offset: 0}],
      data: new Uint8Array(Float32Array.of(1, 2).buffer),
    });
    const file = await open(bytes);
    expect(file.metadata.get('words')).to.deep.equal(words);
    expect(file.metadata.get('long')).to.equal(long);
    expect([...(await file.readFloat32('a'))]).to.deep.equal([1, 2]);
  });

  it('reads version 2, other alignments, scalars and empty tensors', async () => {
    const file = await open(
      ggufBytes({
        version: 2,
        alignment: 8,
        keys: [keyValue('general.alignment', ggufTypes.uint32, u32(8))],
        tensors: [
          {name: 'matrix', axes: [1, 2], type: 0, offset: 8},
          {name: 'scalar', axes: [], type: 0, offset: 0},
          {name: 'empty', axes: [0, 4], type: 0, offset: 0},
        ],
        data: new Uint8Array(Float32Array.of(5, 0, 6, 7).buffer),
      }),
    );
    expect([...(await file.readFloat32('matrix'))]).to.deep.equal([6, 7]);
    expect(file.tensors.get('matrix')?.shape).to.deep.equal([2, 1]);
    expect([...(await file.readFloat32('scalar'))]).to.deep.equal([5]);
    expect(await file.readFloat32('empty')).to.have.length(0);
  });

  it('lists a tensor of a type it does not read, and says so when that is asked for', async () => {
    const file = await open(
      ggufBytes({tensors: [{name: 'a', axes: [256], type: 16, offset: 0}], data: new Uint8Array(66)}),
    );
    expect(file.tensors.get('a')).to.include({dtype: 'IQ2_XXS', byteLength: 66});
    await rejection(file.readFloat32('a'), FormatError, /"a".*IQ2_XXS.*Q4_K, Q5_K, Q6_K/);
  });

  const tensor = {name: 'a', axes: [8], type: 0, offset: 0};
  const data = new Uint8Array(32);
  const array = (type: number, count: number | bigint, ...rest: Uint8Array[]) =>
    concat(u32(type), u64(count), ...rest);
  const key = (type: number, value: Uint8Array): GgufParts => ({keys: [keyValue('k', type, value)]});
  let nested = array(ggufTypes.uint8, 0);
  for (let depth = 0; depth < 1000; depth++) nested = array(ggufTypes.array, 1, nested);
  const hostile: Record<string, Uint8Array | GgufParts> = {
    'empty file': new Uint8Array(0),
    'three bytes': Uint8Array.of(71, 71, 85),
    'another magic': {magic: 'GGML'},
    'version 1': {version: 1},
    'version 4': {version: 4},
    'big endian': {version: 0x03000000},
    'no counts': ggufBytes({}).subarray(0, 12),
    '2^63 tensors': {tensorCount: 2n ** 63n},
    'more tensors than fit': {tensorCount: 999_999},
    '2^64 - 1 keys': {keyCount: 2n ** 64n - 1n},
    'more keys than fit': {keyCount: 60_000},
    'a key of 2^40 bytes': ggufBytes({keyCount: 1, keys: [concat(u64(2n ** 40n), u32(0))]}),
    'a key that is not UTF-8': ggufBytes({
      keyCount: 1,
      keys: [concat(u64(2), Uint8Array.of(0xff, 0xfe), u32(0), u32(0))],
    }),
    'a key twice': {keys: [keyValue('k', 0, Uint8Array.of(1)), keyValue('k', 0, Uint8Array.of(1))]},
    'an unknown value type': key(13, u64(0)),
    'a boolean of 2': key(ggufTypes.bool, Uint8Array.of(2)),
    'a string longer than the file': key(ggufTypes.string, u64(2n ** 31n)),
    'a string that is not UTF-8': key(ggufTypes.string, concat(u64(1), Uint8Array.of(0xc0))),
    'an array of 2^62 numbers': key(ggufTypes.array, array(ggufTypes.float32, 2n ** 62n)),
    'an array of 2^24 + 1 numbers': key(ggufTypes.array, array(ggufTypes.uint8, 2 ** 24 + 1)),
    'an array of more strings than fit': key(ggufTypes.array, array(ggufTypes.string, 1000)),
    'an array of more booleans than fit': key(ggufTypes.array, array(ggufTypes.bool, 1000)),
    'an array of an unknown type': key(ggufTypes.array, array(77, 1, u64(0))),
    'arrays nested 1000 deep': key(ggufTypes.array, nested),
    'an alignment of 0': {keys: [keyValue('general.alignment', ggufTypes.uint32, u32(0))]},
    'an alignment of 24': {keys: [keyValue('general.alignment', ggufTypes.uint32, u32(24))]},
    'an alignment that is text': {keys: [keyValue('general.alignment', ggufTypes.string, ggufString('32'))]},
    'a tensor twice': {tensors: [tensor, {...tensor, offset: 32}], data: new Uint8Array(64)},
    'five axes': {tensors: [{...tensor, axes: [1, 1, 1, 1, 1]}], data},
    'an axis of 2^63': {tensors: [{...tensor, axes: [2n ** 63n]}], data},
    'axes whose product overflows': {tensors: [{...tensor, axes: [2 ** 31, 2 ** 31]}], data},
    'an unknown tensor type': {tensors: [{...tensor, type: 4}], data},
    'rows that are no whole blocks': {
      tensors: [{...tensor, axes: [48, 2], type: 2}],
      data: new Uint8Array(96),
    },
    'a tensor beyond the end': {tensors: [{...tensor, axes: [9]}], data},
    'an offset beyond the end': {tensors: [{...tensor, offset: 2n ** 40n}], data},
    'an offset of 2^64 - 32': {tensors: [{...tensor, offset: 2n ** 64n - 32n}], data},
    'an offset that is not aligned': {tensors: [{...tensor, axes: [4], offset: 16}], data},
    'overlapping tensors': {tensors: [tensor, {...tensor, name: 'b'}], data},
    'half overlapping tensors': {
      tensors: [
        {...tensor, axes: [16]},
        {...tensor, name: 'b', offset: 32},
      ],
      data: new Uint8Array(64),
    },
  };
  for (const [fault, parts] of Object.entries(hostile)) {
    it(`refuses: ${fault}`, async () => {
      const bytes = parts instanceof Uint8Array ? parts : ggufBytes(parts);
      const source = watched(bytes);
      expect((await rejection(openGguf(source), FormatError)).message).to.match(/test\.gguf/);
      expect(source.largest).to.be.at.most(bytes.length);
    });
  }

  it('refuses every truncation', async () => {
    const bytes = new Uint8Array(await readFile(new URL('types.gguf', golden)));
    // the writer pads after the last tensor (20 bytes), where nothing is lost
    for (let length = 0; length <= bytes.length - 32; length += 16) {
      await rejection(open(bytes.subarray(0, length)), FormatError);
    }
  });

  it('gives a FormatError or a file for any damage, never another error', async () => {
    const bytes = new Uint8Array(await readFile(new URL('types.gguf', golden)));
    const headerLength = 1700;
    await fc.assert(
      fc.asyncProperty(fc.nat(headerLength), fc.nat(255), async (at, value) => {
        const damaged = bytes.slice();
        damaged[at] = value;
        const file = await open(damaged).catch((error: unknown) => {
          expect(error).to.be.instanceOf(FormatError);
        });
        for (const name of file?.tensors.keys() ?? []) {
          await file?.readFloat32(name).catch((error: unknown) => {
            expect(error).to.be.instanceOf(FormatError);
          });
        }
      }),
      {numRuns: 500},
    );
  });
});
