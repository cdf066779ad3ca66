import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {copyFile, cp, mkdir, readFile, rm, writeFile} from 'node:fs/promises';
import {type Server, createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import {basename, join} from 'node:path';
import {KVCache} from '../../cache/index.js';
import {saveModel} from '../../models/save.js';
import {findSmolLM2} from '../../models/hub/index.js';
import type {LoadModelOptions, LoadProgress} from '../../models/formats/find_parts.js';
import {loadModel} from '../../models/load.js';
import type {TensorToWrite} from '../../base/files/write_safetensors.js';
import {FormatError, InvalidArgumentError, ModelError, TransferError} from '../../base/errors.js';
import {hasRelaxedSimd} from '../../ops/backends/relaxed_simd.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';
import {asBatch, logitsOf, meanNll, tinyPath} from './architectures/tiny_models.js';
import {type HubFolders, hubFolders, loadWarned} from './hub/hub_folders.js';
import {sharedGolden, sharedModels, skipWithout} from './shared_models.js';
import {concat, ggufString, ggufTypes, keyValue, u32} from '../base/files/file_bytes.js';
import {rejection} from '../base/files/rejection.js';
import {randomGgufBytes} from '../support/random_gguf.js';
import {skip} from '../support/skip.js';

describe('loadModel', () => {
  let folders: HubFolders;
  let folder: string;
  /** A whole model in the hub's files. */
  let whole: string;
  let changed: HubFolders['changed'];
  let readWhole: HubFolders['readWhole'];
  let weightsWith: HubFolders['weightsWith'];
  let expectGolden: HubFolders['expectGolden'];

  before(async () => {
    await useBackend('wasm');
    folders = await hubFolders('llama_biases');
    ({folder, whole, changed, readWhole, weightsWith, expectGolden} = folders);
  });
  after(() => folders.remove());

  it('reads a GGUF file, a folder of it, and a Blob of it', async () => {
    const path = tinyPath('llama_biases', 'model.gguf');
    const only = join(folder, 'gguf');
    await mkdir(only);
    await copyFile(path, join(only, 'some.gguf'));
    for (const given of [path, only, new Blob([await readFile(path)])]) {
      const loaded = await loadModel(given);
      expect(loaded.name).to.equal('tiny llama_biases');
      await expectGolden(loaded);
    }
  });

  it('reads a folder of safetensors, by any of its files too', async () => {
    for (const file of ['', 'model.safetensors', 'config.json', 'tokenizer.json']) {
      const loaded = await loadModel(join(whole, file));
      expect(loaded.name).to.equal('whole');
      expect(loaded.source).to.equal(join(whole, file).replace(/\/$/, ''));
      await expectGolden(loaded);
    }
  });

  it('reads weights whose names lack the prefix', async () => {
    const bytes = await weightsWith(tensor => [{...tensor, name: tensor.name.replace(/^model\./, '')}]);
    await expectGolden(await loadModel(await changed('bare', {'model.safetensors': bytes})));
  });

  it('gathers the tokens that end a text from all configs', async () => {
    const path = await changed('ends', {
      'config.json': {...(await readWhole('config.json')), eos_token_id: 2},
      'generation_config.json': {eos_token_id: [2, 7], bos_token_id: 1},
      'tokenizer_config.json': undefined,
    });
    const loaded = await loadModel(path);
    expect(loaded.tokenizer.eosIds).to.deep.equal([2, 7]);
    expect(loaded.tokenizer.bosId).to.equal(1);
    loaded.dispose();
    for (const ends of [1.5, '2', [2, true], {}]) {
      const wrong = await changed('ends', {'generation_config.json': {eos_token_id: ends}});
      await rejection(
        loadModel(wrong),
        ModelError,
        /generation_config.json has eos_token_id = .*; expected an id/,
      );
    }
  });

  it('reads how its authors sample, and leaves out what generate would refuse', async () => {
    const generationOf = async (generationConfig: object | undefined) => {
      const path = await changed('sampling', {'generation_config.json': generationConfig});
      const {loaded, warnings} = await loadWarned(path);
      loaded.dispose();
      return {generation: loaded.generation, warnings};
    };
    const cases: [object, object][] = [
      [
        {do_sample: true, temperature: 0.6, top_p: 0.9, top_k: 20},
        {temperature: 0.6, topP: 0.9, topK: 20},
      ],
      [
        {do_sample: true, temperature: 0.7, min_p: 0.1, typical_p: 0.9, repetition_penalty: 1.05},
        {temperature: 0.7, minP: 0.1, typicalP: 0.9, repetitionPenalty: 1.05},
      ],
      [
        {do_sample: true, top_k: 0, top_p: null, min_p: 0, typical_p: 1, repetition_penalty: 1},
        {temperature: 1},
      ],
      [{temperature: 0.6, top_p: 0.9}, {}],
      [{do_sample: false, temperature: 0.6}, {}],
    ];
    for (const [given, generation] of cases) {
      expect(await generationOf(given)).to.deep.equal({generation, warnings: []});
    }
    const {generation, warnings} = await generationOf({do_sample: true, temperature: -1});
    expect(generation).to.deep.equal({});
    expect(warnings.join()).to.match(
      /generation_config.json samples with temperature = -1; expected a number >= 0/,
    );
  });

  it('reads its chat template from each file, and refuses what is none', async () => {
    const templateOf = async (template: unknown, jinja?: string, json?: unknown) => {
      const config = {...(await readWhole('tokenizer_config.json')), chat_template: template};
      const files = {
        'tokenizer_config.json': config,
        ...(jinja !== undefined && {'chat_template.jinja': jinja}),
        ...(json !== undefined && {'chat_template.json': {chat_template: json}}),
      };
      const name = `template${jinja?.length ?? ''}${json === undefined ? '' : 'json'}`;
      const loaded = await loadModel(await changed(name, files));
      loaded.dispose();
      return loaded.chatTemplate;
    };
    const list = [
      {name: 'tool_use', template: 'with tools'},
      {name: 'default', template: 'plain'},
    ];
    expect(await templateOf('one')).to.equal('one');
    expect(await templateOf(list)).to.equal('plain');
    expect(await templateOf([list[0]])).to.equal(undefined);
    expect(await templateOf(null)).to.equal(undefined);
    expect(await templateOf('one', '\ufeff{{ file }}\n')).to.equal('{{ file }}\n');
    expect(await templateOf(null, undefined, 'of a processor')).to.equal('of a processor');
    expect(await templateOf('one', undefined, 'of a processor')).to.equal('one');
    for (const wrong of [7, {default: 'x'}, [{name: 'default', template: 7}]]) {
      await rejection(
        templateOf(wrong),
        ModelError,
        /tokenizer_config.json has chat_template = .*expected a text/,
      );
    }
  });

  it('reads chat template and sampling of a GGUF file, and saves both', async () => {
    const path = join(folder, 'talking.gguf');
    const float = (value: number) => new Uint8Array(Float32Array.of(value).buffer);
    const keys = [
      keyValue('tokenizer.chat_template', ggufTypes.string, ggufString('Say: {{ messages[0].content }}')),
      keyValue('general.sampling.temp', ggufTypes.float32, float(0.5)),
      keyValue('general.sampling.top_p', ggufTypes.float32, float(0.75)),
      keyValue('general.sampling.top_k', ggufTypes.uint32, u32(40)),
    ];
    await writeFile(path, withKeys(await readFile(tinyPath('llama_biases', 'model.gguf')), keys));
    const loaded = await loadModel(path);
    const saved = join(folder, 'talking');
    await saveModel(loaded, saved);
    const again = await loadModel(saved);
    for (const {chatTemplate, generation, contextLength, config} of [loaded, again]) {
      expect(chatTemplate).to.equal('Say: {{ messages[0].content }}');
      expect(generation).to.deep.equal({temperature: 0.5, topK: 40, topP: 0.75});
      expect(contextLength).to.equal(config.contextLength);
    }
    expect(again.tokenizer.eosIds).to.deep.equal(loaded.tokenizer.eosIds);
    loaded.dispose();
    await expectGolden(again);
  });

  it('frees its weights at the end of a block with `using`', async () => {
    await expectNoLeak(async () => {
      using loaded = await loadModel(whole);
      expect(loaded.model.weights.length).to.be.above(0);
    });
  });

  it('tells how far it is, and gives its source', async () => {
    const seen: LoadProgress[] = [];
    const loaded = await loadModel(whole, {onProgress: progress => seen.push(progress)});
    expect(seen.every(({stage, file}) => stage === 'weights' && file === 'whole')).to.equal(true);
    const done = seen.map(progress => progress.done);
    expect(done).to.deep.equal([...done].sort((a, b) => a - b));
    expect(done.at(-1)).to.equal(seen[0]!.total);
    expect(seen[0]!.total).to.equal(4 * loaded.model.countParams());
    loaded.dispose();
    await expectGolden(await loadModel(loaded.source));
  });

  it('takes a folder named as the bundled model, if there is one', async () => {
    const former = process.cwd();
    await cp(whole, join(folder, 'embedded'), {recursive: true});
    process.chdir(folder);
    try {
      await expectGolden(await loadModel('embedded'));
    } finally {
      process.chdir(former);
      await rm(join(folder, 'embedded'), {recursive: true});
    }
  });

  it('refuses options that it does not know or that are not allowed', async () => {
    for (const [options, message] of [
      [{foo: 1}, /loadModel has no option "foo"; it has weights, activations, onProgress, onWarning, signal/],
      [{weights: 'int4'}, /weights = "int4"; expected one of float32, asStored, packed8, packed4/],
      [{activations: 8}, /activations = 8; expected int16 or int8/],
      [{onProgress: 5}, /onProgress = 5; expected a function/],
      [{onWarning: 'no'}, /onWarning = "no"; expected a function/],
      [{signal: {}}, /signal = \{\}; expected an AbortSignal/],
      [null, /null was given/],
    ] as const) {
      await rejection(loadModel(whole, options as LoadModelOptions), InvalidArgumentError, message);
    }
  });

  it('stops at a signal, and leaves nothing', async () => {
    await expectNoLeak(async () => {
      const controller = new AbortController();
      const stopped = loadModel(whole, {
        signal: controller.signal,
        onProgress: ({done, total}) => {
          if (done > total / 2) controller.abort();
        },
      });
      expect((await rejection(stopped, Error)).name).to.equal('AbortError');
      expect((await rejection(loadModel(whole, {signal: AbortSignal.abort()}), Error)).name).to.equal(
        'AbortError',
      );
    });
  });

  it('lets events in, counts bytes and hears a signal within a tensor', async () => {
    const sizes = {dim: 256, hiddenDim: 256, depths: 1, heads: 4, kvHeads: 4, vocabSize: 20_000};
    const file = new Blob([await randomGgufBytes({...sizes, dtypeOf: () => 'Q8_0'})]);
    const embeddingBytes = (sizes.vocabSize * sizes.dim * 34) / 32;
    await expectNoLeak(async () => {
      const seen: number[] = [];
      let events = 0;
      const loaded = await loadModel(file, {
        onProgress: ({done}) => {
          seen.push(done);
          setImmediate(() => events++);
        },
      });
      const within = seen.filter(done => done < embeddingBytes);
      expect(within.length).to.be.above(2);
      expect(seen.every(Number.isInteger)).to.equal(true);
      expect(events, 'events that were let in').to.equal(seen.length);
      loaded.dispose();
      const controller = new AbortController();
      let last = 0;
      const stopped = loadModel(file, {
        signal: controller.signal,
        onProgress: ({done}) => {
          last = done;
          if (done >= within[1]!) setImmediate(() => controller.abort());
        },
      });
      expect((await rejection(stopped, Error)).name).to.equal('AbortError');
      expect(last).to.be.below(embeddingBytes);
    });
  });

  it('says that products unpack their matrices on a backend without kernels for them', async () => {
    await useBackend('cpu');
    try {
      for (const [weights, expected] of [
        ['packed8', 1],
        ['asStored', 0],
      ] as const) {
        const warnings: string[] = [];
        const options = {weights, onWarning: (message: string) => warnings.push(message)};
        const loaded = await loadModel(tinyPath('llama_biases', 'model.gguf'), options);
        if (weights === 'asStored') await expectGolden(loaded);
        else loaded.dispose();
        expect(warnings).to.have.length(expected);
        for (const warning of warnings)
          expect(warning).to.match(/The cpu backend has no kernels for packed weights/);
      }
      const warnings: string[] = [];
      const embedded = await loadModel('embedded', {
        weights: 'asStored',
        onWarning: message => warnings.push(message),
      });
      embedded.dispose();
      expect(warnings).to.have.length(1);
      expect(warnings[0]).to.match(
        /packed weights, so they become float32: 16\.70 MiB in place of 8\.36 MiB/,
      );
    } finally {
      await useBackend('wasm');
    }
  });

  it('says where activations of 8 bits change nothing, and why', async () => {
    const path = tinyPath('llama_biases', 'model.gguf');
    const warningsFor = async (weights: 'float32' | 'packed8' | 'packed4') => {
      const warnings: string[] = [];
      const onWarning = (message: string) => warnings.push(message);
      (await loadModel(path, {weights, activations: 'int8', onWarning})).dispose();
      return warnings.join('\n');
    };
    for (const weights of ['float32', 'packed8'] as const) {
      expect(await warningsFor(weights)).to.match(
        /^\{activations: 'int8'\} changes nothing here: only products with 4-bit/,
      );
    }
    const expected = hasRelaxedSimd()
      ? ''
      : "{activations: 'int8'} changes nothing here: 8 bits need the wasm backend";
    expect(await warningsFor('packed4')).to.match(new RegExp(`^${expected.replace(/[{}]/g, '\\$&')}`));
    if (expected === '') expect(await warningsFor('packed4')).to.equal('');
  });

  it('leaves no tensor after dispose, once or twice', async () => {
    await expectNoLeak(async () => {
      const loaded = await loadModel(tinyPath('llama_rope_llama3', 'model.gguf'));
      loaded.dispose();
      loaded.dispose();
    });
  });

  describe('refuses', () => {
    const text = 'no model';

    it('what is not there', async () => {
      for (const path of ['./nothing/here', '/nothing', 'owner/name.gguf', 'a b', '']) {
        await rejection(loadModel(path), InvalidArgumentError, /There is no file or folder .* hub id/);
      }
    });

    const missing: [string, RegExp][] = [
      ['config.json', /holds model.safetensors but no config.json/],
      ['tokenizer.json', /holds model.safetensors but no tokenizer.json/],
      ['model.safetensors', /holds no weights/],
    ];
    for (const [file, message] of missing) {
      it(`a folder without ${file}`, async () => {
        const path = await changed(`without_${file}`, {[file]: undefined});
        await rejection(loadModel(path), InvalidArgumentError, message);
        if (file !== 'model.safetensors')
          await rejection(loadModel(join(path, 'model.safetensors')), InvalidArgumentError, message);
      });
    }

    it('a folder of several GGUF files', async () => {
      const several = join(folder, 'several');
      await mkdir(several);
      for (const name of ['b.gguf', 'a.gguf'])
        await copyFile(tinyPath('qwen2', 'model.gguf'), join(several, name));
      await rejection(
        loadModel(several),
        InvalidArgumentError,
        /2 GGUF files; name one of them: a.gguf, b.gguf/,
      );
    });

    it('files that are not what they should be', async () => {
      await rejection(
        loadModel(await changed('bad1', {'config.json': text})),
        FormatError,
        /config.json is not JSON/,
      );
      await rejection(
        loadModel(await changed('bad2', {'config.json': '[]'})),
        FormatError,
        /not a JSON object/,
      );
      await rejection(
        loadModel(await changed('bad3', {'tokenizer.json': '{}'})),
        FormatError,
        /tokenizer.json/,
      );
      await rejection(loadModel(await changed('bad4', {'model.safetensors': text})), FormatError);
      const bytes = await readFile(join(whole, 'model.safetensors'));
      const cut = bytes.subarray(0, bytes.length - 100);
      await rejection(loadModel(await changed('bad5', {'model.safetensors': cut})), FormatError);
    });

    it('a tokenizer of another model, which has many more tokens', async () => {
      const extra = Array.from({length: 100}, (_, i) => ({id: 61 + i, content: `<extra ${i}>`}));
      const other = await changed('tokenizer', {
        'tokenizer.json': {...(await readWhole('tokenizer.json')), added_tokens: extra},
      });
      await rejection(loadModel(other), ModelError, /has 161 tokens, but its model knows 61/);
    });

    const wrongWeights: [string, (tensor: TensorToWrite) => TensorToWrite[], RegExp][] = [
      [
        'lacks one',
        tensor => (tensor.name === 'model.norm.weight' ? [] : [tensor]),
        /lack the tensor "model.norm.weight"/,
      ],
      [
        'is of another shape',
        tensor =>
          tensor.name === 'model.norm.weight' && tensor.dtype === 'F32'
            ? [{...tensor, shape: [31], data: () => new Float32Array(31)}]
            : [tensor],
        /"model.norm.weight" is \[31\]; by the model's config it should be \[32\]/,
      ],
      ...[NaN, Infinity, -Infinity].map(
        (wrong): [string, (tensor: TensorToWrite) => TensorToWrite[], RegExp] => [
          `holds ${wrong}`,
          tensor =>
            tensor.name === 'model.layers.1.mlp.up_proj.weight' && tensor.dtype === 'F32'
              ? [{...tensor, data: async () => (await tensor.data()).fill(wrong, 7, 8)}]
              : [tensor],
          new RegExp(`"model.layers.1.mlp.up_proj.weight" holds ${wrong} at index 7`),
        ],
      ),
    ];
    for (const [what, change, message] of wrongWeights) {
      it(`weights of which a tensor ${what}, and leaves none behind`, async () => {
        const path = await changed('weights', {'model.safetensors': await weightsWith(change)});
        await expectNoLeak(() => rejection(loadModel(path), ModelError, message).then(() => undefined));
      });
    }

    it('sizes that only the config has, before it takes memory for them', async () => {
      const config = await readWhole('config.json');
      for (const [key, tensor] of [
        ['vocab_size', 'model.embed_tokens.weight'],
        ['intermediate_size', 'model.layers.0.mlp.gate_proj.weight'],
      ]) {
        const path = await changed('large', {'config.json': {...config, [key!]: 1e12}});
        const {message} = await rejection(
          loadModel(path),
          ModelError,
          /by the model's config it should be \[1000000000000, 32\]/,
        );
        expect(message).to.include(tensor);
      }
    });
  });

  describe('from a hub', () => {
    let server: Server;
    let requests: string[];
    const environment = {
      EIGENKV_CACHE: process.env['EIGENKV_CACHE'],
      HF_ENDPOINT: process.env['HF_ENDPOINT'],
    };

    before(async () => {
      requests = [];
      server = createServer((request, response) => {
        requests.push(`${request.method ?? ''} ${basename(request.url ?? '')}`);
        readFile(join(whole, basename(request.url ?? ''))).then(
          bytes =>
            response
              .writeHead(200, {'content-length': bytes.length})
              .end(request.method === 'HEAD' ? '' : bytes),
          () => response.writeHead(404).end(),
        );
      });
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
      process.env['HF_ENDPOINT'] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      process.env['EIGENKV_CACHE'] = join(folder, 'cache');
    });
    after(async () => {
      await new Promise(resolve => server.close(resolve));
      for (const [name, value] of Object.entries(environment)) {
        if (value === undefined) Reflect.deleteProperty(process.env, name);
        else process.env[name] = value;
      }
    });

    it('a model is downloaded once, and then read from the cache', async () => {
      const seen: LoadProgress[] = [];
      const loaded = await loadModel('some/model', {onProgress: progress => seen.push(progress)});
      expect([loaded.name, loaded.source]).to.deep.equal(['some/model', 'some/model']);
      const downloaded = seen.filter(({stage, done, total}) => stage === 'download' && done === total);
      expect([...new Set(downloaded.map(({file}) => file))]).to.include.members([
        'config.json',
        'tokenizer.json',
        'model.safetensors',
      ]);
      expect(seen.at(-1)!.stage).to.equal('weights');
      await expectGolden(loaded);
      requests.length = 0;
      await expectGolden(await loadModel('some/model'));
      expect(requests).to.deep.equal([]);
    });

    it('a file that is not there is said to be missing', async () => {
      await rejection(loadModel('some/model:other.gguf'), TransferError, /other.gguf/);
    });
  });

  describe('a trained model', () => {
    for (const {name, path} of sharedModels) {
      it(`${name} predicts and writes as NumPy does, from GGUF and from our safetensors`, async function () {
        skipWithout(this, path);
        const golden = await sharedGolden(path);
        const fromGguf = await loadModel(path);
        const saved = join(folder, name);
        await saveModel(fromGguf, saved);
        fromGguf.dispose();
        for (const source of [path, saved]) {
          const {model, tokenizer, dispose} = await loadModel(source);
          const logits = await logitsOf(model, golden.ids);
          expect(meanNll(logits, golden.ids)).to.be.closeTo(golden.meanNll, 1e-5);
          const vocabSize = logits.length / golden.ids.length;
          const from = (golden.ids.length - 2) * vocabSize;
          const last = golden.lastLogits.map((_, i) => logits[from + i]!);
          await expectClose(last, golden.lastLogits, 1e-3);
          const words = golden.text.slice(0, golden.text.lastIndexOf(' ', 200));
          const begun = tokenizer.encode(words);
          expect(begun).to.deep.equal(golden.ids.slice(0, begun.length));
          expect(await greedy(model, golden.promptIds, golden.greedyIds.length)).to.deep.equal(
            golden.greedyIds,
          );
          dispose();
        }
      });
    }

    it('SmolLM2 predicts as NumPy does', async function () {
      const path = await findSmolLM2();
      if (path === undefined || process.env['EIGENKV_TEST_SMOLLM2'] === undefined) {
        skip(
          this,
          path === undefined
            ? 'SmolLM2 is not in the cache directory (npm run fetch:smollm2)'
            : 'takes half a minute; set EIGENKV_TEST_SMOLLM2=1 to run it',
        );
      }
      const file = new URL('../golden/models/smollm2.json', import.meta.url);
      const golden = JSON.parse(await readFile(file, 'utf8')) as {
        ids: number[];
        meanNll: number;
        lastLogits: {values: number[]};
      };
      const {model, dispose} = await loadModel(path);
      const cache = new KVCache(model, undefined, {expectedTokens: golden.ids.length});
      let sum = 0;
      for (let at = 0; at < golden.ids.length; at += 128) {
        const logits = await logitsOf(model, golden.ids.slice(at, at + 128), {cache});
        const predicted = golden.ids.slice(at, at + 129);
        const vocabSize = logits.length / 128;
        // one more row, of a token that is not predicted here, so that all 128 rows count
        const rows =
          predicted.length === 129
            ? [...Array.from(logits), ...new Array<number>(vocabSize).fill(0)]
            : logits;
        sum += meanNll(rows, predicted) * (predicted.length - 1);
        if (at + 128 === golden.ids.length) {
          const last = Array.from({length: 32}, (_, i) => logits[127 * vocabSize + i]!);
          await expectClose(last, golden.lastLogits.values, 1e-3);
        }
      }
      console.log(`      mean NLL ${sum / 1023}, NumPy ${golden.meanNll}`);
      expect(sum / 1023).to.be.closeTo(golden.meanNll, 1e-3);
      cache.dispose();
      dispose();
    });
  });
});

async function greedy(model: tf.LayersModel, prompt: readonly number[], tokens: number): Promise<number[]> {
  const cache = new KVCache(model);
  const ids: number[] = [];
  for (let next = prompt; ids.length < tokens; next = ids.slice(-1)) {
    const best = tf.tidy(() =>
      tf.argMax(model.apply(asBatch(next), {cache, lastTokenOnly: true}) as tf.Tensor, -1),
    );
    ids.push(...(await best.data()));
    best.dispose();
  }
  cache.dispose();
  return ids;
}

/** A GGUF file with further metadata before its own, filled up so that its tensors stay aligned to 32 bytes. */
function withKeys(file: Uint8Array, keys: readonly Uint8Array[]): Uint8Array {
  const length = keys.reduce((sum, key) => sum + key.length, 0);
  const fillerLength = keyValue('filler', ggufTypes.string, ggufString('')).length;
  const filler = keyValue(
    'filler',
    ggufTypes.string,
    ggufString(' '.repeat(32 - ((length + fillerLength) % 32))),
  );
  const headerBytes = 24;
  const header = file.slice(0, headerBytes);
  const view = new DataView(header.buffer);
  view.setBigUint64(16, view.getBigUint64(16, true) + BigInt(keys.length + 1), true);
  return concat(header, ...keys, filler, file.subarray(headerBytes));
}
