import {asPolicy} from '../../../cache/policies/as_policy.js';
import {copyFile, mkdtemp, open, rm, truncate, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {ggufChunks} from '../../../base/files/write_gguf.js';
import type {WeightSetting} from '../../../models/formats/weight_formats.js';
import {loadModel} from '../../../models/load.js';
import {cacheBytesPerToken} from '../../../src/evaluate/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {inspect} from '../../../src/cli/inspect.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
import {rejection} from '../../base/files/rejection.js';
import {randomGguf} from '../../support/random_gguf.js';
import {skip} from '../../support/skip.js';
import {printed} from './support/printed.js';

interface Inspected {
  readonly parameters: number;
  readonly dtypes: readonly {readonly dtype: string; readonly bytes: number}[];
  readonly config: {readonly depths: number; readonly kvHeads: number; readonly headDim: number};
  readonly cache: readonly {readonly storage: string; readonly bytesPerToken: number}[];
  readonly cacheTokens: number;
  readonly memory?: readonly {
    readonly weights: WeightSetting;
    readonly wasm: number;
    readonly others: number;
  }[];
  readonly contradiction?: string;
}

const json = async (...args: string[]) =>
  JSON.parse(await printed(() => inspect.run([...args, '--json']))) as Inspected;

describe('eigenkv inspect', () => {
  it('reads headers only: weights that no memory holds take no time', async function () {
    if (process.platform === 'win32') skip(this, 'files are not sparse here.');
    const folder = await mkdtemp(join(tmpdir(), 'eigenkv-inspect-'));
    try {
      const embedded = fileURLToPath(new URL('../../../models/embedded', import.meta.url));
      for (const name of ['config.json', 'tokenizer.json']) {
        await copyFile(join(embedded, name), join(folder, name));
      }
      const bytes = 2 ** 36; // 64 GiB, of which only the header is on the disk
      const header = JSON.stringify({
        huge: {dtype: 'F32', shape: [2 ** 17, 2 ** 17], data_offsets: [0, bytes]},
      });
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(header.length));
      const file = await open(join(folder, 'model.safetensors'), 'w');
      await file.write(Buffer.concat([length, Buffer.from(header)]));
      await file.truncate(8 + header.length + bytes);
      await file.close();
      const {parameters, dtypes, memory, contradiction} = await json(folder);
      expect(memory).to.equal(undefined);
      expect(contradiction).to.match(/only 1 tensors/);
      expect(parameters).to.equal(2 ** 34);
      expect(dtypes).to.deep.equal([{dtype: 'F32', tensors: 1, parameters: 2 ** 34, bytes}]);
      const shown = await printed(() => inspect.run([folder]));
      expect(shown).to.match(/F32 +1 +17,179,869,184 +64\.00 GiB/);
      expect(shown).to.match(/These files do not make a model\. The model's config says 9 depths/);
    } finally {
      await rm(folder, {recursive: true});
    }
  });

  it('gives the bytes of a cache of all depths, measured on one', async () => {
    const {config, cache, cacheTokens} = await json();
    await useBackend('wasm');
    for (const {storage, bytesPerToken} of cache.slice(2)) {
      expect(bytesPerToken).to.equal(cacheBytesPerToken(config, asPolicy(storage), cacheTokens));
    }
    expect(cache[0]!.bytesPerToken).to.equal(2 * config.depths * config.kvHeads * config.headDim * 4);
  });

  it('says what the model takes in memory with each setting, which is what it then takes', async () => {
    const {memory} = await json();
    expect(memory!.map(({weights}) => weights)).to.deep.equal(['float32', 'asStored', 'packed8', 'packed4']);
    await useBackend('wasm');
    for (const {weights, wasm} of memory!) {
      const before = tf.memory().numBytes;
      const loaded = await loadModel(undefined, {weights});
      expect(tf.memory().numBytes - before, weights).to.equal(wasm);
      loaded.dispose();
    }
    const [float32, asStored] = memory!;
    expect(asStored!.others, 'float32 without kernels for packed weights').to.equal(float32!.wasm);
    const shown = await printed(() => inspect.run(['--columns', 'setting,wasm,others']));
    expect(shown).to.match(/float32 \(default\) +16\.70 MiB +16\.70 MiB\nasStored +8\.36 MiB +16\.70 MiB/);
  });

  it('says that a model is too large for a backend', async function () {
    if (process.platform === 'win32') skip(this, 'files are not sparse here.');
    const folder = await mkdtemp(join(tmpdir(), 'eigenkv-inspect-'));
    try {
      const file = join(folder, 'large.gguf');
      const sizes = {dim: 4096, hiddenDim: 16_384, depths: 8, heads: 32, kvHeads: 8, vocabSize: 300};
      for await (const header of ggufChunks(randomGguf({...sizes, dtypeOf: () => 'Q4_0'}))) {
        await writeFile(file, header);
        break;
      }
      await truncate(file, 2 ** 33); // zeros that are not on the disk
      expect(await printed(() => inspect.run([file]))).to.match(
        /float32 +7\.25 GiB, too large +7\.25 GiB +7\.25 GiB\nasStored \(default\) +1\.13 GiB +1\.13 GiB/,
      );
    } finally {
      await rm(folder, {recursive: true});
    }
  });

  it('takes the model with --model or without it, not both', async () => {
    expect(await json('--model', 'embedded')).to.deep.equal(await json('embedded'));
    await rejection(
      inspect.run(['a.gguf', '--model', 'b.gguf']),
      UsageError,
      /"a\.gguf" and --model "b\.gguf"/,
    );
    await rejection(inspect.run(['--weights', 'packed8']), UsageError, /--weights needs --ranks/);
    await rejection(
      inspect.run(['--columns', 'depth']),
      UsageError,
      /no column "depth"; there are dtype, tensors/,
    );
    await rejection(
      inspect.run(['--ranks', '--columns', 'dtype']),
      UsageError,
      /no column "dtype"; there are depth, keys/,
    );
  });
});
