import {expect} from 'chai';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {ModelError} from '../../../base/errors.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import {KVCache} from '../../../cache/index.js';
import {
  buildModel,
  calibrate,
  compress,
  loadModel,
  saveModel,
  transformProfile,
  useProfile,
} from '../../../models/index.js';
import {tokenizerFromGguf} from '../../../models/tokenizer/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {rejection} from '../../base/files/rejection.js';
import {expectClose} from '../../support/tensors.js';
import {goldenModel, goldenModels, goldenOf} from '../architectures/golden_models.js';
import {logitsOf, tinyPath} from '../architectures/tiny_models.js';

const text = Array.from({length: 60}, (_, i) => (i * 37 + 11) % 61);
const normed = ['gemma3', 'olmo2', 'olmo3', 'qwen3', 'qwen3_window'];
const sizesOf = async (name: string) => {
  const {model, config} = await goldenModel(name);
  return {model, config, calibration: await calibrate(model, text)};
};

describe('compress for every architecture', () => {
  let folder: string;
  before(async () => {
    await useBackend('wasm');
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-compress-'));
  });
  after(() => rm(folder, {recursive: true}));

  for (const name of goldenModels.filter(each => !normed.includes(each))) {
    it(`${name} computes the same with as many latents as numbers`, async () => {
      const {model, config, calibration} = await sizesOf(name);
      const {ids, logits} = await goldenOf(name);
      const {headDim} = config;
      const compressed = await compress(model, calibration, {ranks: {keys: headDim, values: headDim}});
      await expectClose(await logitsOf(compressed.model, ids), logits.data, 1e-3);
      compressed.dispose();
      model.dispose();
    });

    it(`${name} has one function with latents, in a cache and from a folder`, async () => {
      const {model, config, calibration} = await sizesOf(name);
      const {ids} = await goldenOf(name);
      const ranks = {keys: config.headDim - 1, values: config.headDim - 2};
      const compressed = await compress(model, calibration, {ranks});
      const expected = await logitsOf(compressed.model, ids);
      const cache = new KVCache(compressed.model);
      const steps = [ids.slice(0, 25), ...ids.slice(25).map(id => [id])];
      const logits: number[] = [];
      for (const step of steps) logits.push(...Array.from(await logitsOf(compressed.model, step, {cache})));
      await expectClose(logits, expected, 1e-3);
      cache.dispose();

      const file = await openTensorPath(tinyPath('qwen2', 'model.gguf'));
      await file.close();
      const tokenizer = tokenizerFromGguf(file.metadata);
      const saved = {
        model: compressed.model,
        config: {...config, compression: compressed.compression},
        tokenizer,
      };
      await saveModel(saved, join(folder, name));
      const loaded = await loadModel(join(folder, name), {onWarning: () => undefined});
      await expectClose(await logitsOf(loaded.model, ids), expected, 1e-5);
      loaded.dispose();
      compressed.dispose();
      model.dispose();
    });
  }

  for (const name of normed) {
    it(`${name} is refused: a norm of keys is not linear`, async () => {
      const {model, calibration} = await sizesOf(name);
      const {message} = await rejection(compress(model, calibration), ModelError);
      expect(message).to.match(/normalises queries and keys .* Compress the cache instead/);
      model.dispose();
    });
  }

  it('leaves the statistics of transforms to models whose depths rotate alike', async () => {
    const texts = [3, 5].map(step => Array.from({length: 200}, (_, i) => (i * i * step + 7 * i) % 61));
    for (const name of ['qwen3', 'gemma2', 'bloom', 'ministral3', 'smollm3', 'gemma3', 'olmo3']) {
      const short = await goldenModel(name);
      const model = buildModel({...short.config, contextLength: 200}); // a text of one step has no gradients
      model.setWeights(short.model.getWeights());
      short.model.dispose();
      const calibration = await calibrate(model, texts, {gradientTokens: 400});
      expect(calibration.gradients?.depths).to.have.length(calibration.depths.length);
      if (['smollm3', 'gemma3', 'olmo3'].includes(name)) {
        expect(() => transformProfile(calibration)).to.throw(/rotate differently/);
      } else {
        const profile = transformProfile(calibration);
        expect(profile.depths).to.have.length(calibration.depths.length);
        await useProfile(model, profile);
        const [ids] = texts as [number[], number[]];
        const cache = new KVCache(model, {name: 'transform', options: {bits: 6}});
        const logits = [
          ...Array.from(await logitsOf(model, ids.slice(0, 150), {cache})),
          ...Array.from(await logitsOf(model, ids.slice(150), {cache})),
        ];
        const expected = await logitsOf(model, ids);
        const squares = (x: ArrayLike<number>) => Array.from(x).reduce((sum, each) => sum + each * each, 0);
        const error = squares(logits.map((x, i) => x - expected[i]!)) / squares(expected);
        expect(Math.sqrt(error), name).to.be.within(1e-6, 0.1);
        cache.dispose();
      }
      model.dispose();
    }
  });
});
