import {expect} from 'chai';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {ModelError} from '../../../base/errors.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {checkedWeights} from '../../../models/formats/check_weights.js';
import {fillWeights} from '../../../models/formats/fill_weights.js';
import {loadModel} from '../../../models/load.js';
import {type ModelToSave, saveModel} from '../../../models/save.js';
import {tokenizerFromGguf} from '../../../models/tokenizer/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import type {RowRange, TensorFile} from '../../../base/files/tensor_file.js';
import {buildModel, configFromGguf, configFromHub} from '../../../models/architectures/index.js';
import {
  distance,
  goldenJson,
  goldenModel,
  goldenModels,
  goldenOf,
  goldenPath,
  tolerance,
  worst,
} from './golden_models.js';
import {type Golden, logitsOf, tinyPath} from './tiny_models.js';

describe('files of every architecture', () => {
  let folder: string;
  before(async () => {
    await useBackend('wasm');
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-architectures-'));
  });
  after(() => rm(folder, {recursive: true}));

  /** A golden model with a tokenizer of as many tokens. */
  async function whole(name: string): Promise<ModelToSave & {golden: Golden}> {
    const file = await openTensorPath(tinyPath('qwen2', 'model.gguf'));
    await file.close();
    const tokenizer = tokenizerFromGguf(file.metadata);
    return {...(await goldenModel(name)), tokenizer, golden: await goldenOf(name)};
  }

  /** What GGUF has no place for. */
  const refused: Record<string, RegExp> = {
    gemma2_scaled: /no place for the factor 0.204\d+ of this model's attention scores: it stands for 0.353/,
    gpt_neo: /no place for models of the architecture "gpt_neo"/,
    mistral: /no place for the window of 9 tokens/,
    opt: /no place for models of the architecture "opt"/,
    qwen3_window: /no place for the window of 9 tokens/,
    starcoder2_window: /no place for the window of 9 tokens/,
  };

  for (const name of goldenModels) {
    it(`${name} is saved and loaded again, as a folder and as GGUF`, async () => {
      const {golden, ...given} = await whole(name);
      for (const path of [join(folder, name), join(folder, `${name}.gguf`)]) {
        const reason = path.endsWith('.gguf') ? refused[name] : undefined;
        if (reason !== undefined) {
          await saveModel(given, path).then(
            () => expect.fail(`${name} was written as GGUF`),
            (error: unknown) => {
              expect(error).to.be.instanceOf(ModelError);
              expect(String(error)).to.match(reason);
            },
          );
          continue;
        }
        await saveModel(given, path);
        const loaded = await loadModel(path, {weights: 'float32', onWarning: () => undefined});
        if (!path.endsWith('.gguf')) expect(loaded.config).to.deep.equal(given.config);
        expect(worst(await logitsOf(loaded.model, golden.ids), golden.logits.data), path).to.be.below(
          tolerance,
        );
        loaded.dispose();
      }
      given.model.dispose();
    });
  }

  for (const name of ['phi3', 'gpt_neox', 'bloom', 'phi', 'gemma', 'qwen3']) {
    it(`${name} keeps the numbers of packed weights, fused ones too`, async () => {
      const {golden, ...given} = await whole(name);
      const path = join(folder, `${name}_float`);
      await saveModel(given, path, {dtype: 'F32'});
      given.model.dispose();
      const packed = await loadModel(path, {weights: 'packed8', onWarning: () => undefined});
      const logits = await logitsOf(packed.model, golden.ids);
      expect(distance(logits, golden.logits.data), 'rounded to 8 bits').to.be.below(0.05);
      const again = join(folder, `${name}_packed`);
      await saveModel(packed, again);
      const loaded = await loadModel(again, {onWarning: () => undefined});
      expect(await logitsOf(loaded.model, golden.ids)).to.deep.equal(logits);
      loaded.dispose();
      packed.dispose();
    });
  }

  /** The logits of a golden model whose file has other tensors than `model.safetensors` or `model.gguf`. */
  async function logitsFrom(
    name: string,
    file: string,
    change: (file: TensorFile) => Promise<TensorFile>,
    config?: ModelConfig,
  ): Promise<{logits: ArrayLike<number>; warnings: string[]}> {
    const opened = await openTensorPath(goldenPath(name, file));
    const changed = await change(opened);
    const warnings: string[] = [];
    const known = config ?? (await configFromGguf(changed));
    const model = buildModel(known, {kernelInitializer: 'zeros'});
    await fillWeights(
      model,
      checkedWeights(changed, known, message => warnings.push(message)),
      changed,
    );
    await opened.close();
    const logits = await logitsOf(model, (await goldenOf(name)).ids);
    model.dispose();
    return {logits, warnings};
  }

  /** A file with other tensors, as float32. */
  function fileOf(file: TensorFile, values: ReadonlyMap<string, [shape: readonly number[], Float32Array]>) {
    return {
      ...file,
      tensors: new Map(
        [...values].map(([name, [shape, {byteLength}]]) => [name, {name, shape, byteLength, dtype: 'F32'}]),
      ),
      readFloat32: (name: string, rows?: RowRange) => {
        const [shape, all] = values.get(name)!;
        const columns = shape.at(-1)!;
        return Promise.resolve(rows ? all.slice(rows.start * columns, rows.end * columns) : all);
      },
    };
  }

  async function valuesOf(file: TensorFile): Promise<Map<string, [readonly number[], Float32Array]>> {
    const values = new Map<string, [readonly number[], Float32Array]>();
    for (const [name, {shape}] of file.tensors) values.set(name, [shape, await file.readFloat32(name)]);
    return values;
  }

  it('of GGUF may fuse queries, keys and values where others do not', async () => {
    for (const name of ['phi', 'qwen3', 'stablelm']) {
      const {logits} = await logitsFrom(name, 'model.gguf', async file => {
        const values = await valuesOf(file);
        for (const depth of [0, 1]) {
          for (const end of ['weight', 'bias']) {
            const parts = ['q', 'k', 'v'].map(part => values.get(`blk.${depth}.attn_${part}.${end}`));
            if (parts[0] === undefined) continue;
            for (const part of ['q', 'k', 'v']) values.delete(`blk.${depth}.attn_${part}.${end}`);
            const outputs = parts.reduce((sum, part) => sum + part![0][0]!, 0);
            const numbers = Float32Array.from(parts.flatMap(part => [...part![1]]));
            values.set(`blk.${depth}.attn_qkv.${end}`, [[outputs, ...parts[0][0].slice(1)], numbers]);
          }
        }
        return fileOf(file, values);
      });
      expect(worst(logits, (await goldenOf(name)).logits.data), name).to.be.below(tolerance);
    }
  });

  it('of models that read images, too, give their text model', async () => {
    const prefixes = [
      (tensor: string) => `language_model.${tensor}`,
      (tensor: string) => tensor.replace(/^model\./, 'model.language_model.'),
    ];
    for (const [name, type] of [
      ['gemma3', 'gemma3'],
      ['ministral3', 'mistral3'],
    ] as const) {
      const text = await goldenJson<Record<string, unknown>>(name, 'config.json');
      const config = configFromHub({model_type: type, text_config: text, vision_config: {}});
      for (const prefix of prefixes) {
        const {logits, warnings} = await logitsFrom(
          name,
          'model.safetensors',
          async file => {
            const values = [...(await valuesOf(file))].map(
              ([tensor, value]) => [prefix(tensor), value] as const,
            );
            const seen = ['vision_tower.a.weight', new Float32Array(4)] as const;
            return fileOf(file, new Map([...values, [seen[0], [[2, 2], seen[1]]]]));
          },
          config,
        );
        expect(worst(logits, (await goldenOf(name)).logits.data), name).to.be.below(tolerance);
        expect(warnings).to.deep.equal([
          'The parts for images and sound (1 tensors) are left out: only text is read.',
        ]);
      }
    }
  });
});
