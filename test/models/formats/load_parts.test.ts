import {expect} from 'chai';
import {copyFile, mkdir, readFile, rename, rm, writeFile} from 'node:fs/promises';
import {type Server, createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import {basename, join} from 'node:path';
import {loadModel} from '../../../models/load.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import {type TensorToWrite, writeSafetensors} from '../../../base/files/write_safetensors.js';
import {FormatError, InvalidArgumentError, TransferError} from '../../../base/errors.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {type HubFolders, hubFolders} from '../hub/hub_folders.js';
import {ggufBytes, ggufTypes, keyValue, u32} from '../../base/files/file_bytes.js';
import {rejection} from '../../base/files/rejection.js';

/** The tiny model llama_biases in three parts, as gguf-python splits it. */
const split = new URL('../../golden/models/split/', import.meta.url);
const names = [1, 2, 3].map(part => `tiny-0000${part}-of-00003.gguf`);

describe('a model in several files', () => {
  let folders: HubFolders;
  let expectGolden: HubFolders['expectGolden'];

  before(async () => {
    await useBackend('wasm');
    folders = await hubFolders('llama_biases');
    ({expectGolden} = folders);
  });
  after(() => folders.remove());

  /** A folder with the parts under other names, or without some where undefined. */
  async function partsAs(name: string, files: readonly (string | undefined)[] = names): Promise<string> {
    const folder = join(folders.folder, name);
    await mkdir(folder, {recursive: true});
    for (const [i, file] of files.entries()) {
      if (file !== undefined) await copyFile(new URL(names[i]!, split), join(folder, file));
    }
    return folder;
  }

  const blobs = async (order: readonly number[], named = true) =>
    Promise.all(
      order.map(async i => {
        const bytes = await readFile(new URL(names[i]!, split));
        return named ? new File([bytes], names[i]!) : new Blob([bytes]);
      }),
    );

  describe('a split GGUF file', () => {
    it('is read whole by any of its parts, or by its folder', async () => {
      const folder = await partsAs('whole parts');
      for (const given of [...names.map(name => join(folder, name)), folder]) {
        const loaded = await loadModel(given);
        expect(loaded.name).to.equal('tiny llama_biases');
        expect(loaded.source).to.equal(given);
        await expectGolden(loaded);
      }
    });

    it('is read of Blobs in any order', async () => {
      for (const order of [
        [0, 1, 2],
        [2, 0, 1],
      ])
        await expectGolden(await loadModel(await blobs(order)));
      await expectGolden(await loadModel(await blobs([1, 2, 0], false)));
    });

    it('of one part is a file of its own', async () => {
      const whole = new URL('../../golden/models/tiny/llama_biases/model.gguf', import.meta.url);
      const path = join(folders.folder, 'alone-00001-of-00001.gguf');
      await copyFile(whole, path);
      await expectGolden(await loadModel(path));
      const bytes = await readFile(whole);
      await expectGolden(await loadModel([new File([bytes], 'alone.gguf')]));
    });

    it('names the parts that are missing', async () => {
      const folder = await partsAs('incomplete', [undefined, names[1], undefined]);
      for (const given of [folder, join(folder, names[1]!)]) {
        await rejection(
          loadModel(given),
          InvalidArgumentError,
          /part 2 of 3 .*no tiny-00001-of-00003.gguf, no tiny-00003-of-00003.gguf/,
        );
      }
      await rejection(
        loadModel(await blobs([1])),
        InvalidArgumentError,
        /Of the 3 parts .* 1, 3 are missing; .*tiny-00001-of-00003.gguf, tiny-00003-of-00003.gguf/,
      );
      await rejection(loadModel((await blobs([2]))[0]), InvalidArgumentError, /1, 2 are missing/);
      await rejection(
        loadModel(await blobs([0, 2], false)),
        InvalidArgumentError,
        /2 is missing.*-00002-of-/,
      );
      await rejection(loadModel([]), InvalidArgumentError, /no file in the list/);
    });

    it('does not take what does not belong to it', async () => {
      await rejection(
        loadModel(await blobs([0, 1, 1, 2])),
        InvalidArgumentError,
        /part 2 of 3 and does not go with/,
      );
      const whole = await readFile(new URL('../../golden/models/tiny/qwen2/model.gguf', import.meta.url));
      const other = new File([whole], 'qwen.gguf');
      await rejection(
        loadModel([...(await blobs([0, 1, 2])), other]),
        InvalidArgumentError,
        /qwen.gguf is a whole file and does not go with/,
      );
      await rejection(loadModel([other, other]), InvalidArgumentError, /a whole file/);
    });

    it('says what to call a part whose name does not say what it is', async () => {
      const renamed = ['first.gguf', 'tiny-00001-of-00002.gguf', 'tiny-00003-of-00003.gguf'];
      const folder = await partsAs('renamed', renamed);
      await rejection(
        loadModel(join(folder, 'first.gguf')),
        InvalidArgumentError,
        /first.gguf is part 1 of 3 .*call this one NAME-00001-of-00003.gguf.*llama-gguf-split --merge/,
      );
      await rejection(
        loadModel(join(folder, 'tiny-00001-of-00002.gguf')),
        InvalidArgumentError,
        /is part 2 of 3 .*NAME-00002-of-00003.gguf/,
      );
      await rejection(loadModel(folder), InvalidArgumentError, /3 GGUF files; name one of them/);
    });

    it('does not count as whole where tensors are missing', async () => {
      const bytes = await readFile(new URL(names[0]!, split));
      const key = 'split.count';
      const value = bytes.indexOf(key) + key.length + 4; // behind the key's type
      expect(bytes.readUInt16LE(value)).to.equal(3);
      for (const count of [0, 1]) {
        bytes.writeUInt16LE(count, value);
        await rejection(loadModel(new Blob([bytes])), FormatError, /hold \d+ tensors, but it says \d+/);
      }
    });

    it('is nothing but text or Blobs', async () => {
      const [blob] = await blobs([0]);
      for (const given of [
        null,
        5,
        {},
        [names[0]],
        [blob, {}],
        new Uint8Array(4),
        new URL('file:///a.gguf'),
      ]) {
        const load = Reflect.apply(loadModel, undefined, [given]) as Promise<unknown>;
        await rejection(load, InvalidArgumentError, /no Blob. Give a path or a hub id/);
      }
    });

    it('must be of one piece', async () => {
      const folder = await partsAs('mixed');
      const key = (name: string, value: number) => keyValue(name, ggufTypes.uint32, u32(value));
      const part = (count: number, no = 1, tensors: string[] = []) =>
        ggufBytes({
          keys: [key('split.no', no), key('split.count', count)],
          tensors: tensors.map((name, i) => ({name, axes: [1], type: 0, offset: 32 * i})),
          data: new Uint8Array(32 * tensors.length),
        });
      const path = join(folder, names[1]!);
      const first = join(folder, names[0]!);
      await writeFile(path, part(3));
      await rejection(loadModel(first), FormatError, /hold \d+ tensors, but it says \d+: .*of another file/);
      await writeFile(path, part(3, 1, ['token_embd.weight']));
      await rejection(loadModel(first), FormatError, /"token_embd.weight", which another part holds too/);
      await writeFile(path, part(4));
      await rejection(loadModel(first), InvalidArgumentError, /part 2 of 4 and does not go with/);
      await writeFile(path, part(3, 3));
      await rejection(loadModel(first), FormatError, /part 4 of 3/);
      await writeFile(path, part(2 ** 31));
      await rejection(loadModel(first), FormatError, /1 to 1000 parts/);
      await writeFile(path, 'no model');
      await rejection(loadModel(first), FormatError, /00002-of-00003.gguf is not a whole GGUF file/);
    });
  });

  describe('shards of safetensors', () => {
    let folder: string;
    const shardOf = (i: number) => `model-0000${1 + (i % 2)}-of-00002.safetensors`;

    before(async () => {
      const file = await openTensorPath(join(folders.whole, 'model.safetensors'));
      const all = [...file.tensors.values()];
      const shards: Record<string, Uint8Array> = {};
      for (const which of [0, 1]) {
        const tensors = all
          .filter((_, i) => i % 2 === which)
          .map(({name, shape}): TensorToWrite => ({
            name,
            shape,
            dtype: 'F32',
            data: () => file.readFloat32(name),
          }));
        shards[shardOf(which)] = await writeSafetensors(tensors);
      }
      await file.close();
      folder = await folders.changed('sharded', {
        'model.safetensors': undefined,
        'model.safetensors.index.json': {
          weight_map: Object.fromEntries(all.map(({name}, i) => [name, shardOf(i)])),
        },
        ...shards,
      });
    });

    it('are read by their folder, their index, or any of them', async () => {
      for (const file of ['', 'model.safetensors.index.json', shardOf(0), shardOf(1)])
        await expectGolden(await loadModel(join(folder, file)));
    });

    it('are refused by name where one is missing, or the index', async () => {
      const copy = join(folders.folder, 'shards incomplete');
      await mkdir(copy);
      for (const file of ['config.json', 'tokenizer.json', shardOf(0), 'model.safetensors.index.json'])
        await copyFile(join(folder, file), join(copy, file));
      for (const file of ['', shardOf(0)]) {
        await rejection(
          loadModel(join(copy, file)),
          InvalidArgumentError,
          /no file .*model-00002-of-00002.safetensors/,
        );
      }
      await writeFile(join(copy, shardOf(1)), 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n');
      await rejection(loadModel(copy), FormatError, /00002-of-00002.safetensors is a git-lfs pointer/);
      await rename(join(copy, 'model.safetensors.index.json'), join(copy, 'index.json'));
      await rejection(
        loadModel(join(copy, shardOf(0))),
        InvalidArgumentError,
        /is shard 1 of 2; beside it is no model.safetensors.index.json/,
      );
      await rejection(
        loadModel(copy),
        InvalidArgumentError,
        /holds no weights.*does hold model-00001-of-00002.safetensors.*index of the shards/,
      );
      await rm(copy, {recursive: true});
    });

    it('of other kinds are named', async () => {
      const path = await folders.changed('pickled', {
        'model.safetensors': undefined,
        'pytorch_model.bin': 'PK\x03\x04',
      });
      await rejection(
        loadModel(path),
        InvalidArgumentError,
        /pytorch_model.bin is of a kind that is not read/,
      );
    });
  });

  describe('on the hub', () => {
    let server: Server;
    let served: Record<string, Uint8Array>;
    let requests: string[];
    const variables = ['EIGENKV_CACHE', 'HF_ENDPOINT'];
    const environment = variables.map(name => process.env[name]);

    before(async () => {
      served = Object.fromEntries(
        await Promise.all(names.map(async name => [name, await readFile(new URL(name, split))] as const)),
      );
      requests = [];
      server = createServer((request, response) => {
        requests.push(`${request.method ?? ''} ${basename(request.url ?? '')}`);
        const bytes = served[basename(request.url ?? '')];
        if (bytes === undefined) response.writeHead(404).end();
        else
          response
            .writeHead(200, {'content-length': bytes.length})
            .end(request.method === 'HEAD' ? '' : bytes);
      });
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
      process.env['HF_ENDPOINT'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      process.env['EIGENKV_CACHE'] = join(folders.folder, 'cache');
    });
    after(async () => {
      await new Promise(resolve => server.close(resolve));
      variables.forEach((name, i) => {
        const value = environment[i];
        if (value === undefined) Reflect.deleteProperty(process.env, name);
        else process.env[name] = value;
      });
    });

    it('all parts are downloaded once by the name of any', async () => {
      for (const name of [names[1]!, names[0]!]) {
        const loaded = await loadModel(`some/model:Q4/${name}`);
        expect(loaded.source).to.equal(`some/model:Q4/${name}`);
        await expectGolden(loaded);
      }
      expect(requests.filter(request => request.startsWith('GET')).sort()).to.deep.equal(
        names.map(name => `GET ${name}`),
      );
    });

    it('or by the address of any', async () => {
      requests.length = 0;
      const address = `${process.env['HF_ENDPOINT']}/some/where/${names[2]!}`;
      for (let i = 0; i < 2; i++) {
        const loaded = await loadModel(address);
        expect(loaded.source).to.equal(address);
        await expectGolden(loaded);
      }
      expect(requests.filter(request => request.startsWith('GET'))).to.deep.equal(
        names.map(name => `GET ${name}`),
      );
    });

    it('an address that cannot be reached, or is not open, is not taken for the hub', async () => {
      await rejection(
        loadModel('http://127.0.0.1:1/model.gguf'),
        TransferError,
        /127\.0\.0\.1:1 cannot be reached\. Check the network and the address\.$/,
      );
      const refusing = createServer((_request, response) => response.writeHead(403).end());
      await new Promise<void>(resolve => refusing.listen(0, '127.0.0.1', resolve));
      try {
        const address = `http://127.0.0.1:${(refusing.address() as AddressInfo).port}/model.gguf`;
        await rejection(
          loadModel(address),
          TransferError,
          /answered 403: the address is not open to everybody: download/,
        );
      } finally {
        refusing.close();
      }
    });

    it('a part that is not there is named', async () => {
      served = {[names[0]!]: served[names[0]!]!, [names[1]!]: served[names[1]!]!};
      await rejection(loadModel(`other/model:${names[0]!}`), TransferError, /no tiny-00003-of-00003.gguf at/);
    });

    it('one of the files of a model is no model', async () => {
      requests.length = 0;
      for (const file of ['model-00001-of-00002.safetensors', 'model.safetensors', 'config.json']) {
        await rejection(
          loadModel(`some/model@v1:${file}`),
          InvalidArgumentError,
          /one of the files of a model.*Give some\/model@v1:/,
        );
      }
      await rejection(
        loadModel('https://huggingface.co/some/model/blob/main/model.safetensors'),
        InvalidArgumentError,
        /one of the files of a model.*Give some\/model:/,
      );
      for (const address of [
        'https://huggingface.co/some',
        'http://127.0.0.1/model.bin',
        'huggingface.co/a/b/c.gguf',
      ]) {
        await rejection(loadModel(address), InvalidArgumentError, /hub id/);
      }
      expect(requests).to.deep.equal([]);
    });
  });
});
