import {expect} from 'chai';
import fc from 'fast-check';
import {readFile} from 'node:fs/promises';
import {bytesSource} from '../../../base/files/byte_source.js';
import {openSafetensors} from '../../../base/files/safetensors.js';
import {openShardedSafetensors, parseShardIndex} from '../../../base/files/sharded_safetensors.js';
import {FormatError, ModelError} from '../../../base/errors.js';
import {concat, safetensorsBytes} from './file_bytes.js';
import {rejection} from './rejection.js';

const golden = new URL('../../golden/weights/', import.meta.url);
const infinities: Record<string, number> = {inf: Infinity, '-inf': -Infinity};
const open = (bytes: Uint8Array) => openSafetensors(bytesSource(bytes, 'test.safetensors'));
const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

describe('safetensors', () => {
  it('reads every dtype as NumPy does', async () => {
    const file = await open(await readFile(new URL('dtypes.safetensors', golden)));
    const values: Record<string, (number | string | null)[]> = JSON.parse(
      await readFile(new URL('dtypes.json', golden), 'utf8'),
    );
    expect([...file.tensors.keys()].sort()).to.deep.equal(Object.keys(values).sort());
    expect(file.metadata.get('format')).to.equal('np');
    for (const [name, expected] of Object.entries(values)) {
      const numbers = expected.map(value =>
        typeof value === 'string' ? Number(infinities[value]) : (value ?? NaN),
      );
      expect(await file.readFloat32(name), name).to.deep.equal(Float32Array.from(numbers));
    }
  });

  it('reads a file of the reference library', async () => {
    const file = await open(await readFile(new URL('types.safetensors', golden)));
    expect(file.tensors.get('Q4_K.weight')).to.include({dtype: 'F32', byteLength: 4096});
    expect(file.tensors.get('Q4_K.weight')?.shape).to.deep.equal([2, 512]);
    expect(file.metadata.get('source')).to.match(/^gguf-python/);
  });

  it('reads tensors at any alignment of the bytes in memory', async () => {
    const bytes = await readFile(new URL('dtypes.safetensors', golden));
    const expected = await (await open(bytes)).readFloat32('I64');
    for (let shift = 1; shift < 8; shift++) {
      const moved = new Uint8Array(bytes.length + shift).subarray(shift);
      moved.set(bytes);
      expect(await (await open(moved)).readFloat32('I64')).to.deep.equal(expected);
    }
  });

  it('takes names like __proto__ as names, and empty tensors and scalars as tensors', async () => {
    const header = `{"__proto__":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"e":{"dtype":"F32","shape":[0,3],"data_offsets":[1,1]}}`;
    const file = await open(safetensorsBytes(header, Uint8Array.of(7)));
    expect([...(await file.readFloat32('__proto__'))]).to.deep.equal([7]);
    expect(await file.readFloat32('e')).to.have.length(0);
    expect(Object.prototype).not.to.have.property('dtype');
  });

  it('names the nearest tensor where one is missing', async () => {
    const file = await open(safetensorsBytes({'model.norm.weight': f32(0, 4)}, new Uint8Array(4)));
    await rejection(file.readFloat32('model.norm.weigth'), ModelError, /Did you mean "model.norm.weight"/);
  });

  const four = new Uint8Array(4);
  const eight = new Uint8Array(8);
  const hostile: Record<string, Uint8Array> = {
    'empty file': new Uint8Array(0),
    'seven bytes': new Uint8Array(7),
    'header longer than the file': safetensorsBytes({}, four, 1000),
    'header length 2^63': safetensorsBytes({}, four, 2n ** 63n),
    'header over the limit': safetensorsBytes({}, four, 100_000_001),
    'header of no bytes': safetensorsBytes(''),
    'header that is no JSON': safetensorsBytes('{"a":', four),
    'header that is an array': safetensorsBytes('[]'),
    'header that is null': safetensorsBytes('null'),
    'header that is not UTF-8': concat(
      safetensorsBytes('', undefined, 4),
      Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d),
    ),
    'entry that is a string': safetensorsBytes({a: 'F32'}),
    'entry that is null': safetensorsBytes({a: null}),
    'unknown dtype': safetensorsBytes({a: {...f32(0, 4), dtype: 'F4'}}, four),
    'dtype that is a number': safetensorsBytes({a: {...f32(0, 4), dtype: 32}}, four),
    'dtype that is a property of objects': safetensorsBytes({a: {...f32(0, 4), dtype: 'constructor'}}, four),
    'no shape': safetensorsBytes({a: {dtype: 'F32', data_offsets: [0, 4]}}, four),
    'negative axis': safetensorsBytes({a: f32(0, 4, [-1, -1])}, four),
    'fractional axis': safetensorsBytes({a: f32(0, 4, [0.5, 2])}, four),
    'axis that is a string': safetensorsBytes(
      '{"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}',
      four,
    ),
    'shape whose product overflows': safetensorsBytes({a: f32(0, 4, [2 ** 32, 2 ** 32])}, four),
    'shape that needs more bytes': safetensorsBytes({a: f32(0, 4, [2])}, four),
    'shape that needs fewer bytes': safetensorsBytes({a: f32(0, 8, [1])}, eight),
    'one offset': safetensorsBytes({a: {dtype: 'F32', shape: [1], data_offsets: [0]}}, four),
    'offsets in reverse': safetensorsBytes({a: {dtype: 'F32', shape: [1], data_offsets: [4, 0]}}, four),
    'negative offset': safetensorsBytes({a: {dtype: 'F32', shape: [1], data_offsets: [-4, 0]}}, four),
    'offset beyond 2^53': safetensorsBytes(
      '{"a":{"dtype":"U8","shape":[4],"data_offsets":[1e300,1e300]}}',
      four,
    ),
    'tensor beyond the end': safetensorsBytes({a: f32(0, 8)}, four),
    'overlapping tensors': safetensorsBytes({a: f32(0, 4), b: f32(0, 4)}, eight),
    'half overlapping tensors': safetensorsBytes({a: f32(0, 8), b: f32(4, 12)}, new Uint8Array(12)),
    'a gap between tensors': safetensorsBytes({a: f32(0, 4), b: f32(8, 12)}, new Uint8Array(12)),
    'bytes after the last tensor': safetensorsBytes({a: f32(0, 4)}, eight),
    'metadata that is no object': safetensorsBytes({__metadata__: 'x'}),
    'metadata of numbers': safetensorsBytes({__metadata__: {x: 1}}),
  };
  for (const [fault, bytes] of Object.entries(hostile)) {
    it(`refuses: ${fault}`, async () => {
      expect((await rejection(open(bytes), FormatError)).message).to.match(/test\.safetensors/);
    });
  }

  it('refuses every truncation', async () => {
    const bytes = new Uint8Array(await readFile(new URL('dtypes.safetensors', golden)));
    for (let length = 0; length < bytes.length; length += 16)
      await rejection(open(bytes.subarray(0, length)), FormatError);
  });

  it('gives a FormatError or a file for any damage, never another error', async () => {
    const bytes = new Uint8Array(await readFile(new URL('dtypes.safetensors', golden)));
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(255), async (at, value) => {
        const damaged = bytes.slice();
        damaged[at] = value;
        const file = await open(damaged).catch((error: unknown) => {
          expect(error).to.be.instanceOf(FormatError);
        });
        for (const name of file?.tensors.keys() ?? []) await file?.readFloat32(name);
      }),
      {numRuns: 300},
    );
  });

  it('closes the source when opening fails', async () => {
    let closed = 0;
    const countClose = () => Promise.resolve(++closed).then(() => undefined);
    const source = {...bytesSource(new Uint8Array(3)), close: countClose};
    await rejection(openSafetensors(source), FormatError);
    expect(closed).to.equal(1);
  });
});

describe('sharded safetensors', () => {
  const shards: Record<string, Uint8Array> = {
    'model-00001-of-00002.safetensors': safetensorsBytes(
      {a: f32(0, 4)},
      new Uint8Array(Float32Array.of(1.5).buffer),
    ),
    'model-00002-of-00002.safetensors': safetensorsBytes(
      {b: f32(0, 4)},
      new Uint8Array(Float32Array.of(2.5).buffer),
    ),
  };
  const names = Object.keys(shards);
  const index = (map: unknown) => JSON.stringify({metadata: {total_size: 8}, weight_map: map});
  let closed = 0;
  const countClose = () => Promise.resolve(++closed).then(() => undefined);
  const openShard = (name: string) =>
    Promise.resolve({...bytesSource(shards[name]!, name), close: countClose});

  it('joins the shards of an index', async () => {
    closed = 0;
    const file = await openShardedSafetensors(parseShardIndex(index({a: names[0], b: names[1]})), openShard);
    expect([...file.tensors.keys()]).to.deep.equal(['a', 'b']);
    expect([...(await file.readFloat32('a')), ...(await file.readFloat32('b'))]).to.deep.equal([1.5, 2.5]);
    await rejection(file.readFloat32('c'), ModelError);
    await file.close();
    expect(closed).to.equal(2);
  });

  it('refuses a shard that lacks its tensor, and closes what it opened', async () => {
    closed = 0;
    await rejection(
      openShardedSafetensors(parseShardIndex(index({a: names[1], b: names[1]})), openShard),
      FormatError,
      /"a"/,
    );
    expect(closed).to.equal(1);
  });

  for (const name of [
    '../model.safetensors',
    '/etc/x.safetensors',
    'a/b.safetensors',
    'a\\b.safetensors',
    '.safetensors',
    'model.bin',
    '',
    5,
    null,
  ]) {
    it(`refuses the shard name ${JSON.stringify(name)}`, () => {
      expect(() => parseShardIndex(index({a: name}))).to.throw(FormatError);
    });
  }

  for (const text of ['', '{', '[]', 'null', '{}', '{"weight_map":[]}', '{"weight_map":{}}']) {
    it(`refuses the index ${JSON.stringify(text)}`, () => {
      expect(() => parseShardIndex(text)).to.throw(FormatError);
    });
  }
});
