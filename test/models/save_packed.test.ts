import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {buildModel, calibrate, compress, loadModel, saveModel} from '../../models/index.js';
import type {ModelConfig} from '../../models/architectures/parts/model_config.js';
import {formatOf, numbersOf} from '../../ops/weights/packed_variables.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {type WeightFormat, weightFormats} from '../../ops/weights/formats.js';
import {FormatError, ModelError} from '../../base/errors.js';
import {openTensorPath} from '../../base/files/open_tensor_file.js';
import {tokenizerFromGguf} from '../../models/tokenizer/index.js';
import {recordsOf, setRandomWeights} from '../support/packed_layers.js';
import {expectClose} from '../support/tensors.js';
import {rejection} from '../base/files/rejection.js';
import {logitsOf, tinyConfig, tinyPath} from './architectures/tiny_models.js';

const ids = [1, 7, 3, 9, 4, 2];

describe('saveModel with packed weights, into a folder', () => {
  let folder: string;
  before(async () => {
    await useBackend('wasm');
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-packed-'));
  });
  after(() => rm(folder, {recursive: true}));

  /** A model of random weights in these formats, with a tokenizer. */
  async function packedModel(name: string, format: (variable: string) => WeightFormat) {
    const config = await tinyConfig(name);
    const model = buildModel(config, {formatOf: format});
    setRandomWeights(model, 4);
    const file = await openTensorPath(tinyPath('qwen2', 'model.gguf'));
    await file.close();
    return {model, config, tokenizer: tokenizerFromGguf(file.metadata)};
  }
  const formatsIn = (model: tf.LayersModel) =>
    Object.fromEntries(model.weights.map(variable => [variable.originalName, formatOf(variable)]));
  const configOf = async (path: string) =>
    JSON.parse(await readFile(join(path, 'config.json'), 'utf8')) as Record<string, unknown> & {
      eigenkv_weights?: {version: number; tensors: Record<string, {format: string; shape: number[]}>};
    };

  /** The tensors of a model that is saved as float32. */
  async function savedTensors(given: Parameters<typeof saveModel>[0], path: string) {
    await saveModel(given, path, {dtype: 'F32'});
    const file = await openTensorPath(join(path, 'model.safetensors'));
    const tensors = new Map<string, {shape: readonly number[]; values: Float32Array}>();
    for (const [name, {shape}] of file.tensors) {
      tensors.set(name, {shape, values: await file.readFloat32(name)});
    }
    await file.close();
    return tensors;
  }

  for (const name of ['llama_biases', 'gpt2']) {
    it(`${name}: every format comes back bit for bit, and with it the logits`, async () => {
      // by layer, for a file of GPT-2 fuses three of the matrices of attention
      const layers: string[] = [];
      const format = (variable: string) => {
        const layer = variable.replace(/(query|key|value)_kernel/, '');
        if (!layers.includes(layer)) layers.push(layer);
        return weightFormats[(layers.indexOf(layer) + 1) % weightFormats.length]!;
      };
      const given = await packedModel(name, format);
      expect(new Set(Object.values(formatsIn(given.model))).size).to.equal(weightFormats.length);
      const path = join(folder, name);
      await saveModel(given, path);
      const loaded = await loadModel(path);
      expect(formatsIn(loaded.model)).to.deep.equal(formatsIn(given.model));
      expect(recordsOf(loaded.model)).to.deep.equal(recordsOf(given.model));
      await expectClose(await logitsOf(loaded.model, ids), await logitsOf(given.model, ids), 0);
      loaded.dispose();

      for (const setting of ['float32', 'packed8'] as const) {
        const other = await loadModel(path, {weights: setting});
        for (const [i, variable] of other.model.weights.entries()) {
          const source = given.model.weights.find(
            ({originalName}) => originalName === variable.originalName,
          )!;
          if (setting === 'float32') expect(formatOf(variable)).to.equal('float32');
          if (setting === 'packed8') expect(formatOf(variable)).to.not.match(/float16/);
          const rounds =
            setting === 'packed8' && /float/.test(formatOf(source)) && formatOf(variable) === 'packed8';
          await expectClose(await numbersOf(variable), await numbersOf(source), rounds ? 0.02 : 0, String(i));
        }
        other.dispose();
      }
      given.model.dispose();
    });
  }

  it('is float32 or float16 for the hub’s libraries if they are asked for, of unpacked numbers', async () => {
    const given = await packedModel('gpt2', () => 'packed8Min');
    for (const dtype of ['F32', 'F16'] as const) {
      const path = join(folder, dtype);
      await saveModel(given, path, {dtype});
      expect(await configOf(path)).not.to.have.property('eigenkv_weights');
      const file = await openTensorPath(join(path, 'model.safetensors'));
      expect(new Set([...file.tensors.values()].map(tensor => tensor.dtype))).to.deep.equal(new Set([dtype]));
      await file.close();
      const loaded = await loadModel(path);
      for (const variable of loaded.model.weights) {
        const source = given.model.weights.find(({originalName}) => originalName === variable.originalName)!;
        await expectClose(await numbersOf(variable), await numbersOf(source), dtype === 'F32' ? 0 : 2 ** -10);
      }
      loaded.dispose();
    }
    given.model.dispose();
  });

  it('keeps 16 bits in 16 bits, which are no codes', async () => {
    const given = await packedModel('llama_biases', () => 'float16');
    const path = join(folder, 'halves');
    await saveModel(given, path);
    const loaded = await loadModel(path);
    expect(recordsOf(loaded.model)).to.deep.equal(recordsOf(given.model));
    given.model.dispose();
    loaded.dispose();
  });

  it('has 16-bit floats as the hub has them, which other libraries read', async () => {
    for (const [format, dtype, torch] of [
      ['float16', 'F16', 'float16'],
      ['bfloat16', 'BF16', 'bfloat16'],
    ] as const) {
      for (const name of ['llama_biases', 'gpt2']) {
        const given = await packedModel(name, () => format);
        const path = join(folder, `${name}_${format}`);
        await saveModel(given, path);
        const config = await configOf(path);
        expect(config['torch_dtype']).to.equal(torch);
        expect(config.eigenkv_weights).to.deep.equal({version: 1, tensors: {}});
        const hub = await savedTensors(given, join(folder, `${name}_${format}_hub`));
        const file = await openTensorPath(join(path, 'model.safetensors'));
        const matrices = [...file.tensors].filter(([, {dtype: stored}]) => stored !== 'F32');
        expect(matrices.length).to.be.above(5);
        for (const [tensor, {shape, dtype: stored}] of matrices) {
          expect(stored, tensor).to.equal(dtype);
          expect({tensor, shape}).to.deep.equal({tensor, shape: hub.get(tensor)!.shape});
          await expectClose(await file.readFloat32(tensor), hub.get(tensor)!.values, 0);
        }
        await file.close();
        given.model.dispose();
      }
    }
  });

  it('keeps the numbers of parts in different formats that a tensor joins as float32', async () => {
    const format = (variable: string) => (variable.endsWith('key_kernel') ? 'packed4' : 'packed8');
    const given = await packedModel('gpt2', format);
    const path = join(folder, 'mixed');
    await saveModel(given, path);
    const {tensors} = (await configOf(path)).eigenkv_weights!;
    expect(Object.keys(tensors).filter(tensor => tensor.includes('c_attn'))).to.deep.equal([]);
    expect(tensors['transformer.wte.weight']!.format).to.equal('packed8');
    const loaded = await loadModel(path);
    await expectClose(await logitsOf(loaded.model, ids), await logitsOf(given.model, ids), 2e-3);
    loaded.dispose();
    given.model.dispose();
  });

  it('keeps a compressed model: low-rank attention as float32, all else packed', async () => {
    const given = await packedModel('llama_biases', () => 'packed8');
    const text = Array.from({length: 40}, (_, i) => (7 * i) % given.config.vocabSize);
    const small = await compress(given.model, await calibrate(given, text), {ratio: 0.5});
    const config: ModelConfig = {...given.config, compression: small.compression};
    const path = join(folder, 'compressed');
    await saveModel({...given, model: small.model, config}, path);
    const loaded = await loadModel(path);
    expect(formatsIn(loaded.model)).to.deep.equal(formatsIn(small.model));
    expect(recordsOf(loaded.model)).to.deep.equal(recordsOf(small.model));
    await expectClose(await logitsOf(loaded.model, ids), await logitsOf(small.model, ids), 1e-6);
    loaded.dispose();
    small.dispose();
    given.model.dispose();
  });

  it('loads as float32 where a backend has no kernels for packed weights', async () => {
    const given = await packedModel('llama_biases', () => 'packed8By16');
    const path = join(folder, 'on_cpu');
    await saveModel(given, path);
    const expected = await logitsOf(given.model, ids);
    given.model.dispose();
    await useBackend('cpu');
    try {
      const loaded = await loadModel(path);
      expect(new Set(Object.values(formatsIn(loaded.model)))).to.deep.equal(new Set(['float32']));
      await expectClose(await logitsOf(loaded.model, ids), expected, 5e-3);
      loaded.dispose();
    } finally {
      await useBackend('wasm');
    }
  });

  it('refuses a config that does not fit the tensors, or is of a newer version', async () => {
    const given = await packedModel('llama_biases', () => 'packed4');
    const path = join(folder, 'wrong');
    await saveModel(given, path);
    given.model.dispose();
    const config = await configOf(path);
    const name = 'model.layers.0.self_attn.q_proj.weight';
    const {tensors} = config.eigenkv_weights!;
    const {format, shape} = tensors[name]!;
    const withTensor = (tensor: unknown) => ({version: 1, tensors: {...tensors, [name]: tensor}});
    const wrong: [unknown, typeof FormatError | typeof ModelError, RegExp][] = [
      [{version: 2, tensors}, ModelError, /newer eigenkv.*version 2/],
      ['packed4', FormatError, /eigenkv_weights/],
      [withTensor({format: 'packed5', shape}), FormatError, /format/],
      [withTensor({format, shape: [0, 8]}), FormatError, /shape/],
      [withTensor({format: 'packed8', shape}), FormatError, /q_proj.weight" is I32 .* packed8 matrix/],
      [withTensor({format, shape: [shape[0]! + 64, shape[1]!]}), FormatError, /q_proj.weight" is I32/],
      [{version: 1, tensors: {...tensors, other: {format, shape}}}, ModelError, /no tensor "other"/],
      [
        {version: 1, tensors: Object.fromEntries(Object.entries(tensors).filter(([key]) => key !== name))},
        ModelError,
        /q_proj.weight" is \[/,
      ],
    ];
    for (const [given, type, message] of wrong) {
      await writeFile(join(path, 'config.json'), JSON.stringify({...config, eigenkv_weights: given}));
      await rejection(loadModel(path), type, message);
    }
  });
});
