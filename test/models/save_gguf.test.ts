import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {mkdtemp, readdir, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {toFloat16} from '../../base/files/float_formats.js';
import {openTensorPath} from '../../base/files/open_tensor_file.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {InvalidArgumentError, ModelError, TransferError} from '../../base/errors.js';
import {matrixOf, numbersOf} from '../../ops/weights/packed_variables.js';
import {buildModel} from '../../models/architectures/index.js';
import type {ModelConfig} from '../../models/architectures/parts/model_config.js';
import {transpose} from '../../models/formats/layouts.js';
import {loadModel} from '../../models/load.js';
import {type ModelToSave, saveModel} from '../../models/save.js';
import {tokenizerFromGguf} from '../../models/tokenizer/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {type PackedFormat, packedFormats} from '../../ops/weights/formats.js';
import {isPacked} from '../../ops/weights/matrix.js';
import {writeRow} from '../../ops/weights/records.js';
import {copyUnpacked, setRandomWeights} from '../support/packed_layers.js';
import {rejection} from '../base/files/rejection.js';
import {logitsOf, tinyModel, tinyPath} from './architectures/tiny_models.js';

const tinyGguf = ['gpt2', 'llama_biases', 'llama_rope_llama3', 'qwen2'];

describe('saveModel into a GGUF file', () => {
  let folder: string;
  before(async () => {
    await useBackend('wasm');
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-gguf-'));
  });
  after(() => rm(folder, {recursive: true}));

  const withTokenizer = async (model: Awaited<ReturnType<typeof tinyModel>>): Promise<ModelToSave> => {
    const file = await openTensorPath(tinyPath('qwen2', 'model.gguf'));
    await file.close();
    return {...model, tokenizer: tokenizerFromGguf(file.metadata)};
  };
  const valuesOf = async (file: TensorFile) => {
    const values = new Map<string, Float32Array>();
    for (const name of file.tensors.keys()) values.set(name, await file.readFloat32(name));
    await file.close();
    return values;
  };

  for (const name of tinyGguf) {
    it(`writes ${name} from the hub's files with the tensors of llama.cpp's converter`, async () => {
      const path = join(folder, `${name}.gguf`);
      const given = await withTokenizer(await tinyModel(name));
      await saveModel(given, path);
      const [written, expected] = [
        await openTensorPath(path),
        await openTensorPath(tinyPath(name, 'model.gguf')),
      ];
      const shapes = ({tensors}: TensorFile) =>
        [...tensors.values()]
          .map(({name: tensor, dtype, shape}) => `${tensor} ${dtype} ${shape.join()}`)
          .sort();
      expect(shapes(written)).to.deep.equal(shapes(expected));
      const keys = (file: TensorFile) =>
        [...file.metadata].filter(
          ([key]) => !/^(general|tokenizer)[.]|[.](key|value)_length$|vocab_size$/.test(key),
        );
      expect(new Map(keys(written))).to.deep.equal(new Map(keys(expected)));
      expect(await valuesOf(written)).to.deep.equal(await valuesOf(expected));
      given.model.dispose();
    });

    it(`gives the same logits of ${name} to the bit after another round`, async () => {
      const path = join(folder, `${name}_again.gguf`);
      const original = await loadModel(tinyPath(name, 'model.gguf'), {
        onWarning: message => expect.fail(message),
      });
      await saveModel(original, path);
      const loaded = await loadModel(path, {onWarning: message => expect.fail(message)});
      expect(loaded.config).to.deep.equal(original.config);
      expect(loaded.name).to.equal(original.name);
      expect(loaded.tokenizer.json).to.deep.equal(original.tokenizer.json);
      const ids = [3, 1, 4, 1, 5, 9];
      expect(await logitsOf(loaded.model, ids)).to.deep.equal(await logitsOf(original.model, ids));
      loaded.dispose();
      original.dispose();
    });
  }

  it('keeps the bundled model, its template and its sampling too', async () => {
    const path = join(folder, 'embedded.gguf');
    const embedded = await loadModel();
    const given = {
      ...embedded,
      chatTemplate: '{{ messages }}',
      generation: {temperature: 0.5, topK: 40, topP: 0.75, minP: 0.125, repetitionPenalty: 1.25},
    };
    await saveModel(given, path, {dtype: 'F16'});
    const loaded = await loadModel(path);
    expect(loaded).to.deep.include({
      name: 'embedded',
      chatTemplate: given.chatTemplate,
      generation: given.generation,
      contextLength: embedded.contextLength,
    });
    const text = 'It was 1859, the best\nof  times: naïve 🙂 <s>';
    expect(loaded.tokenizer.encode(text)).to.deep.equal(embedded.tokenizer.encode(text));
    const file = await openTensorPath(path);
    expect(file.metadata.get('general.file_type')).to.equal(1);
    for (const {name, dtype, shape} of file.tensors.values()) {
      expect(dtype, name).to.equal(shape.length === 2 ? 'F16' : 'F32');
    }
    await file.close();
    loaded.dispose();
    embedded.dispose();
  });

  for (const name of ['llama_rope_linear', 'llama_rope_yarn']) {
    it(`states the rotation of ${name}`, async () => {
      const path = join(folder, `${name}.gguf`);
      const given = await withTokenizer(await tinyModel(name));
      await saveModel(given, path);
      const loaded = await loadModel(path);
      const ids = [3, 1, 4, 1, 5, 9];
      const [logits, expected] = [await logitsOf(loaded.model, ids), await logitsOf(given.model, ids)];
      Array.from(logits).forEach((logit, i) => expect(logit).to.be.closeTo(expected[i]!, 1e-5));
      loaded.dispose();
      given.model.dispose();
    });
  }

  const config: ModelConfig = {
    ...{architecture: 'llama', vocabSize: 61, contextLength: 64, depths: 1, dim: 256, heads: 4, kvHeads: 2},
    ...{headDim: 64, hiddenDim: 512, activation: 'silu', rope: {theta: 10000}, normEpsilon: 2 ** -17},
    biases: {queryKeyValue: false, attentionOutput: false, feedForward: false},
    tiedEmbeddings: true,
  };
  /** A model whose packed matrices have codes of so many bits, and scales that are small whole numbers times 2^-12. */
  const packedModel = async (
    format: PackedFormat,
    bits: number,
    changes: Partial<ModelConfig> = {},
    minimumOf = (scale: number) => -2.5 * scale,
  ): Promise<ModelToSave> => {
    const sizes = {...config, ...changes};
    const model = buildModel(sizes, {kernelInitializer: 'zeros', formatOf: () => format});
    setRandomWeights(model, 7);
    const {groupSize, hasMinimum, bits: stored} = packedFormats[format];
    for (const variable of model.weights) {
      const matrix = matrixOf(variable);
      if (!isPacked(matrix) || stored === 16) continue;
      const {records, outputs} = matrix;
      const blocks = records.shape[1];
      const words = new Int32Array(records.size);
      const lowest = hasMinimum ? 0 : -(2 ** (bits - 1));
      for (let output = 0; output < outputs; output++) {
        const codes = Int8Array.from(
          {length: blocks * 32},
          (_, i) => lowest + ((i * 7 + output * 11) % 2 ** bits),
        );
        const scales = Float32Array.from(
          {length: codes.length / groupSize},
          (_, i) => (1 + ((i + output) % 16)) * 2 ** -12,
        );
        const row = {
          codes,
          scales: halvesOf(scales),
          minima: hasMinimum ? halvesOf(scales.map(minimumOf)) : undefined,
        };
        writeRow(new Uint8Array(words.buffer), format, blocks, output, row);
      }
      const tensor = tf.tensor(words, records.shape, 'int32');
      variable.write(tensor);
      tensor.dispose();
    }
    return withTokenizer({model, config: sizes});
  };

  const packed: readonly (readonly [
    type: string,
    PackedFormat,
    bits: number,
    minimumOf?: (scale: number) => number,
  ])[] = [
    ['Q4_0', 'packed4', 4, scale => -8 * scale],
    ['Q4_1', 'packed4', 4],
    ['Q5_0', 'packed8', 5],
    ['Q8_0', 'packed8', 8],
    ['Q5_1', 'packed8Min', 5],
    ['Q6_K', 'packed8By16', 6],
    ['F16', 'float16', 16],
    ['BF16', 'bfloat16', 16],
  ];
  for (const [type, format, bits, minimumOf] of packed) {
    it(`keeps the numbers of ${format} as ${type}`, async () => {
      const given = await packedModel(format, bits, {}, minimumOf);
      const path = join(folder, `${type}.gguf`);
      await saveModel(given, path);
      const floats = {...given, model: buildModel(config, {kernelInitializer: 'zeros'})};
      copyUnpacked(given.model, floats.model);
      const floatPath = join(folder, `${type}_floats.gguf`);
      await saveModel(floats, floatPath);
      const file = await openTensorPath(path);
      for (const {name, dtype, shape} of file.tensors.values()) {
        expect(dtype, name).to.equal(shape.length === 2 ? type : 'F32');
      }
      const [values, expected] = [await valuesOf(file), await valuesOf(await openTensorPath(floatPath))];
      expect([...values.keys()]).to.deep.equal([...expected.keys()]);
      for (const [name, tensor] of values) expect(tensor, name).to.deep.equal(expected.get(name));
      given.model.dispose();
      floats.model.dispose();
    });
  }

  it('joins packed queries, keys and values of GPT-2', async () => {
    const changes = {
      ...config,
      architecture: 'gpt2',
      kvHeads: 4,
      activation: 'geluNew',
      rope: undefined,
    } as const;
    const biases = {queryKeyValue: true, attentionOutput: true, feedForward: true};
    const given = await packedModel('packed8', 8, {...changes, biases});
    const path = join(folder, 'gpt2_packed.gguf');
    await saveModel(given, path);
    const file = await openTensorPath(path);
    expect(file.tensors.get('blk.0.attn_qkv.weight')).to.include({dtype: 'Q8_0'});
    expect(file.tensors.get('position_embd.weight')).to.include({dtype: 'F32'});
    const values = await file.readFloat32('blk.0.attn_qkv.weight');
    await file.close();
    for (const [i, side] of ['query', 'key', 'value'].entries()) {
      const variable = given.model.weights.find(each => each.originalName === `attention_0/${side}_kernel`)!;
      const numbers = await numbersOf(variable);
      const own = values.subarray(i * 256 * 256, (i + 1) * 256 * 256);
      expect(own, side).to.deep.equal(transpose(numbers, 256, 256));
    }
    given.model.dispose();
  });

  const refusals: readonly (readonly [what: string, () => Promise<ModelToSave>, RegExp])[] = [
    [
      'codes of 6 bits with minima',
      () => packedModel('packed8Min', 6),
      /token_embd.*packed8Min.*Q5_1 cannot hold/,
    ],
    ['codes of 8 bits that share scales by 16', () => packedModel('packed8By16', 8), /Q6_K cannot hold/],
    [
      'rows that are no whole blocks',
      () => packedModel('packed8', 8, {hiddenDim: 48}),
      /ffn_down.*rows of \d+ numbers are not whole blocks of 32/,
    ],
  ];
  for (const [what, model, message] of refusals) {
    it(`refuses ${what}, and names the setting that works`, async () => {
      const given = await model();
      const path = join(folder, 'refused.gguf');
      await rejection(saveModel(given, path), ModelError, message);
      await rejection(saveModel(given, path), ModelError, /\{dtype: 'F16'\}, or with \{dtype: 'F32'\}/);
      expect(await readdir(folder)).not.to.include('refused.gguf');
      await saveModel(given, path, {dtype: 'F16'});
      await rm(path);
      given.model.dispose();
    });
  }

  it('refuses what the format has no place for, before anything is written', async () => {
    const path = join(folder, 'none.gguf');
    const given = await withTokenizer(await tinyModel('llama_biases'));
    const refused = async (changes: Partial<ModelConfig>, message: RegExp) =>
      rejection(saveModel({...given, config: {...given.config, ...changes}}, path), ModelError, message);
    const dynamic = {type: 'dynamic', factor: 2, maxPositions: 128, originalMaxPositions: 64} as const;
    await refused({rope: {scaling: dynamic}}, /rotation .*dynamic/);
    await refused({rope: {interleaved: true}}, /rotation/);
    await refused({rope: undefined}, /rotation null/);
    const compression = {ropeMode: 'rotated', keyRanks: [4], valueRanks: [4], centered: false} as never;
    await refused({compression}, /low-rank attention.*folder/);
    await rejection(
      saveModel({...given, tokenizer: {...given.tokenizer, json: undefined}}, path),
      ModelError,
      /tokenizer/,
    );
    const gpt2 = await withTokenizer(await tinyModel('gpt2'));
    const relu = {...gpt2, config: {...gpt2.config, activation: 'relu' as const}};
    await rejection(saveModel(relu, path), ModelError, /geluNew.*"relu"/);
    await rejection(saveModel(gpt2, path, {dtype: 'Q4_0' as 'F16'}), InvalidArgumentError, /dtype/);
    expect(await readdir(folder)).not.to.include('none.gguf');
    given.model.dispose();
    gpt2.model.dispose();
  });

  it('says what the disk refuses', async () => {
    const given = await withTokenizer(await tinyModel('qwen2'));
    await writeFile(join(folder, 'file'), '');
    await rejection(
      saveModel(given, join(folder, 'file', 'x.gguf')),
      TransferError,
      /a file of that name is in the way/,
    );
    given.model.dispose();
  });
});

function halvesOf(values: Float32Array): Uint16Array {
  const halves = new Uint16Array(values.length);
  toFloat16(values, halves);
  return halves;
}
