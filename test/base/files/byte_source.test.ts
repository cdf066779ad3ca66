import {expect} from 'chai';
import {mkdtemp, rm, truncate, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {type ByteSource, blobSource, bytesSource, openFileSource} from '../../../base/files/byte_source.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import {FormatError, InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {ggufBytes, safetensorsBytes} from './file_bytes.js';
import {rejection} from './rejection.js';

describe('byte sources', () => {
  const bytes = Uint8Array.from({length: 100}, (_, i) => i);
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-'));
    await writeFile(join(folder, 'bytes'), bytes);
  });
  after(() => rm(folder, {recursive: true}));

  const sources: Record<string, () => Promise<ByteSource> | ByteSource> = {
    file: () => openFileSource(join(folder, 'bytes')),
    Blob: () => blobSource(new Blob([bytes])),
    bytes: () => bytesSource(bytes),
  };
  for (const [kind, openSource] of Object.entries(sources)) {
    it(`of a ${kind} frees what was read if it is a copy, and nothing else`, async () => {
      const source = await openSource();
      const [read, kept] = [await source.read(10, 3), await source.read(20, 2)];
      source.release(read);
      const isFreed = kind !== 'bytes' && 'transfer' in ArrayBuffer.prototype; // not in Node 20
      expect(read.length).to.equal(isFreed ? 0 : 3);
      expect([...kept, ...bytes.subarray(10, 13)]).to.deep.equal([20, 21, 10, 11, 12]);
      await source.close();
    });

    it(`of a ${kind} reads ranges and refuses those beyond the end`, async () => {
      const source = await openSource();
      expect(source.size).to.equal(100);
      expect([...(await source.read(10, 3))]).to.deep.equal([10, 11, 12]);
      expect(await source.read(100, 0)).to.have.length(0);
      for (const [offset, length] of [
        [99, 2],
        [101, 0],
        [-1, 5],
        [0, -1],
        [0, NaN],
        [0.5, 1],
        [0, 2 ** 53],
      ] as const) {
        await rejection(source.read(offset, length), FormatError);
      }
      await source.close();
    });
  }

  it('tells a missing file and a folder from a damaged file', async () => {
    await rejection(openFileSource(join(folder, 'absent')), InvalidArgumentError, /no file/);
    await rejection(openFileSource(folder), InvalidArgumentError, /not a file/);
  });

  it('gives a FormatError where the file shrinks while it is read', async () => {
    await writeFile(join(folder, 'shrinking'), bytes);
    const source = await openFileSource(join(folder, 'shrinking'));
    await truncate(join(folder, 'shrinking'), 50);
    await rejection(source.read(40, 20), FormatError, /shorter/);
    await source.close();
  });

  it('opens GGUF and safetensors by their first bytes, and an index with its shards', async () => {
    const one = {a: {dtype: 'U8', shape: [1], data_offsets: [0, 1]}};
    await writeFile(join(folder, 'weights.bin'), ggufBytes({}));
    await writeFile(join(folder, 'shard.safetensors'), safetensorsBytes(one, Uint8Array.of(9)));
    await writeFile(join(folder, 'model.safetensors.index.json'), '{"weight_map":{"a":"shard.safetensors"}}');
    const formats: string[] = [];
    for (const name of ['weights.bin', 'shard.safetensors', 'model.safetensors.index.json']) {
      const file = await openTensorPath(join(folder, name));
      formats.push(file.format);
      if (file.tensors.has('a')) expect([...(await file.readFloat32('a'))]).to.deep.equal([9]);
      else await rejection(file.readFloat32('a'), ModelError);
      await file.close();
    }
    expect(formats).to.deep.equal(['gguf', 'safetensors', 'safetensors']);
    await rejection(openTensorPath(join(folder, 'bytes')), FormatError);
  });
});
