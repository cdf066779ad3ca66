import {expect} from 'chai';
import fc from 'fast-check';
import {mkdir, mkdtemp, readFile, readdir, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {saveModel} from '../../models/save.js';
import {columnSlice, halvesOfInterleaved, joinColumns, transpose} from '../../models/formats/layouts.js';
import {loadModel} from '../../models/load.js';
import {tokenizerFromGguf} from '../../models/tokenizer/index.js';
import {openTensorPath} from '../../base/files/open_tensor_file.js';
import {ModelError, TransferError} from '../../base/errors.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {expectClose} from '../support/tensors.js';
import {
  type Golden,
  logitsOf,
  tinyJson,
  tinyModel,
  tinyModels,
  tinyPath,
} from './architectures/tiny_models.js';
import {rejection} from '../base/files/rejection.js';

describe('saveModel', () => {
  let folder: string;
  before(async () => {
    await useBackend('wasm');
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-convert-'));
  });
  after(() => rm(folder, {recursive: true}));

  const tokenizer = async () => {
    const file = await openTensorPath(tinyPath('qwen2', 'model.gguf'));
    await file.close();
    return tokenizerFromGguf(file.metadata);
  };

  for (const name of tinyModels) {
    it(`writes ${name} with the hub's names, layouts and numbers`, async () => {
      const {model, config} = await tinyModel(name);
      const path = join(folder, name);
      await saveModel({model, config, tokenizer: await tokenizer()}, path);
      model.dispose();
      const [written, given] = await Promise.all([
        openTensorPath(join(path, 'model.safetensors')),
        openTensorPath(tinyPath(name, 'model.safetensors')),
      ]);
      // the tiny GPT-2 has no prefix and a mask, as the hub's own file
      const hubName = (tensor: string) =>
        given.tensors.has(tensor) ? tensor : tensor.replace(/^transformer\./, '');
      const masks = [...given.tensors.keys()].filter(tensor => tensor.endsWith('.attn.bias'));
      expect(written.tensors.size).to.equal(given.tensors.size - masks.length);
      for (const {name: tensor, shape} of written.tensors.values()) {
        expect(shape, tensor).to.deep.equal(given.tensors.get(hubName(tensor))!.shape);
        const values = await written.readFloat32(tensor);
        expect(values, tensor).to.deep.equal(await given.readFloat32(hubName(tensor)));
      }
      await Promise.all([written.close(), given.close()]);
      const keys = JSON.parse(await readFile(join(path, 'config.json'), 'utf8')) as Record<string, unknown>;
      const hubKeys = await tinyJson<Record<string, unknown>>(name, 'config.json');
      expect([keys['model_type'], keys['architectures'], keys['torch_dtype']]).to.deep.equal([
        hubKeys['model_type'],
        hubKeys['architectures'],
        'float32',
      ]);
      const loaded = await loadModel(path);
      const golden = await tinyJson<Golden>(name, 'golden.json');
      expect(loaded.config).to.deep.equal(config);
      await expectClose(await logitsOf(loaded.model, golden.ids), golden.logits.data, 1e-4);
      loaded.dispose();
    });
  }

  it('turns a GGUF file into the hub’s files, its tokenizer and scaled rotation too', async () => {
    const path = join(folder, 'from_gguf');
    const original = await loadModel(tinyPath('llama_rope_llama3', 'model.gguf'));
    await saveModel(original, path);
    expect((await readdir(path)).sort()).to.deep.equal([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    const loaded = await loadModel(path);
    expect(loaded.config).to.deep.equal(original.config);
    // the hub's library asks for each special token of the frame by name
    const json = JSON.parse(await readFile(join(path, 'tokenizer.json'), 'utf8')) as {
      version: unknown;
      post_processor: {special_tokens: unknown};
    };
    expect(json.version).to.equal('1.0');
    expect(json.post_processor.special_tokens).to.deep.equal({'<s>': {id: '<s>', ids: [1], tokens: ['<s>']}});
    const text = 'Hello, eigen world!';
    expect(loaded.tokenizer.encode(text)).to.deep.equal(original.tokenizer.encode(text));
    expect(loaded.tokenizer.bosId).to.equal(original.tokenizer.bosId);
    expect(loaded.tokenizer.eosIds).to.deep.equal(original.tokenizer.eosIds);
    const ids = original.tokenizer.encode(text);
    await expectClose(await logitsOf(loaded.model, ids), await logitsOf(original.model, ids), 1e-6);
    loaded.dispose();
    original.dispose();
  });

  it('halves the size in float16, within its precision', async () => {
    const path = join(folder, 'half');
    const original = await loadModel(tinyPath('qwen2', 'model.gguf'));
    await saveModel(original, path, {dtype: 'F16'});
    const file = await openTensorPath(join(path, 'model.safetensors'));
    const bytes = [...file.tensors.values()].reduce((sum, {byteLength}) => sum + byteLength, 0);
    await file.close();
    expect(bytes).to.equal(2 * original.model.countParams());
    const loaded = await loadModel(path);
    for (let i = 0; i < original.model.weights.length; i++) {
      const [half, exact] = [loaded.model.weights[i]!.read(), original.model.weights[i]!.read()];
      await expectClose(half, exact, 2 ** -11);
    }
    loaded.dispose();
    original.dispose();
  });

  it('refuses a tokenizer that has no file of its own', async () => {
    const {model, config} = await tinyModel('qwen2');
    const {json, ...own} = await tokenizer();
    expect(json).to.be.an('object');
    await rejection(
      saveModel({model, config, tokenizer: own}, join(folder, 'own')),
      ModelError,
      /tokenizer.json/,
    );
    model.dispose();
  });

  it('says what the disk refuses, and leaves no config that names a half-written model', async () => {
    const {model, config} = await tinyModel('qwen2');
    const parts = {model, config, tokenizer: await tokenizer()};
    const file = join(folder, 'a_file');
    await writeFile(file, '');
    await rejection(saveModel(parts, file), TransferError, /a part of the path is a file/);
    const path = join(folder, 'twice');
    await saveModel(parts, path);
    await rm(join(path, 'tokenizer.json'));
    await mkdir(join(path, 'tokenizer.json')); // in the way of the second time
    await rejection(saveModel(parts, path), TransferError, /tokenizer.json/);
    expect(await readdir(path)).not.to.include('config.json');
    model.dispose();
  });
});

describe('layouts of matrices', () => {
  const matrix = fc
    .record({rows: fc.integer({min: 1, max: 70}), columns: fc.integer({min: 1, max: 70})})
    .map(({rows, columns}) => ({
      rows,
      columns,
      values: Float32Array.from({length: rows * columns}, (_, i) => i),
    }));

  it('are transposed, rows going where they are sent', () => {
    fc.assert(
      fc.property(matrix, fc.nat(1000), ({rows, columns, values}, shift) => {
        const sent = Int32Array.from({length: rows}, (_, row) => (row + shift) % rows);
        const out = transpose(values, rows, columns);
        const moved = transpose(values, rows, columns, sent);
        for (let row = 0; row < rows; row++) {
          for (let column = 0; column < columns; column++) {
            expect(out[column * rows + row]).to.equal(row * columns + column);
            expect(moved[column * rows + sent[row]!]).to.equal(row * columns + column);
          }
        }
      }),
      {numRuns: 20},
    );
  });

  it('are cut and joined by columns', () => {
    fc.assert(
      fc.property(matrix, fc.nat(100), ({columns, values}, at) => {
        const cut = at % (columns + 1);
        const parts = [
          {values: columnSlice(values, columns, 0, cut), columns: cut},
          {values: columnSlice(values, columns, cut, columns - cut), columns: columns - cut},
        ].filter(part => part.columns > 0);
        expect(joinColumns(parts)).to.deep.equal(values);
      }),
      {numRuns: 50},
    );
  });

  it('of interleaved pairs become halves within each head', () => {
    // two heads of six channels: pair i of a head is (2i, 2i + 1) before and (i, i + 3) after
    expect([...halvesOfInterleaved(2, 12)]).to.deep.equal([0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
  });
});
