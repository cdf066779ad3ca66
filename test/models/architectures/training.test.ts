import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache, quantized} from '../../../cache/index.js';
import {buildModel} from '../../../models/architectures/index.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {ContextLengthError} from '../../../base/errors.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {readGolden} from '../../support/golden.js';
import {asBatch, logitsOf} from './tiny_models.js';

const savedModels = readGolden('layers/saved_models.json') as Record<
  string,
  Pick<tf.io.ModelArtifacts, 'modelTopology' | 'weightSpecs'> & {
    readonly weightData: string;
    readonly ids: readonly number[];
    readonly logits: readonly number[];
  }
>;

const config: ModelConfig = {
  architecture: 'llama',
  vocabSize: 12,
  contextLength: 24,
  depths: 2,
  dim: 16,
  heads: 4,
  kvHeads: 2,
  headDim: 4,
  hiddenDim: 24,
  activation: 'silu',
  rope: {theta: 100, scaling: {type: 'linear', factor: 2}},
  normEpsilon: 1e-5,
  biases: {queryKeyValue: true, attentionOutput: false, feedForward: false},
  tiedEmbeddings: true,
};
const gpt2: ModelConfig = {
  ...config,
  architecture: 'gpt2',
  kvHeads: 4,
  activation: 'geluNew',
  tiedEmbeddings: false,
};

/** Of tokens that count up by one, modulo the vocabulary: every next token can be known. */
function countingTexts(texts: number, tokens: number): {ids: tf.Tensor2D; next: tf.Tensor3D} {
  const all = Array.from({length: texts}, (_, text) =>
    Array.from({length: tokens + 1}, (_, token) => (5 * text + token) % config.vocabSize),
  );
  const shape: [number, number] = [texts, tokens];
  const ids = tf.tensor2d(all.map(text => text.slice(0, -1)).flat(), shape, 'int32');
  const next = tf.oneHot(
    tf.tensor2d(all.map(text => text.slice(1)).flat(), shape, 'int32'),
    config.vocabSize,
  );
  return {ids, next: next as tf.Tensor3D};
}

const crossEntropy = (labels: tf.Tensor, logits: tf.Tensor) => tf.losses.softmaxCrossEntropy(labels, logits);

describe('models as tf.LayersModel on wasm', () => {
  before(() => useBackend('wasm'));

  for (const [name, sizes] of Object.entries({llama: config, gpt2})) {
    it(`${name} learns by fit`, async () => {
      const model = buildModel(sizes);
      model.compile({optimizer: tf.train.adam(0.02), loss: crossEntropy});
      const {ids, next} = countingTexts(8, 10);
      const {history} = await model.fit(ids, next, {epochs: 20, batchSize: 4, shuffle: false});
      const losses = history['loss'] as number[];
      expect(losses[0]).to.be.greaterThan(1.5);
      expect(losses.at(-1)).to.be.lessThan(0.5 * losses[0]!);
      expect(losses.every(Number.isFinite)).to.equal(true);
      const logits = await logitsOf(model, [3, 4, 5, 6]);
      const last = Array.from(logits).slice(-config.vocabSize);
      expect(last.indexOf(Math.max(...last))).to.equal(7);
      tf.dispose([ids, next]);
      model.dispose();
    });

    it(`${name} is the same after save and load`, async () => {
      const model = buildModel(sizes);
      let artifacts: tf.io.ModelArtifacts | undefined;
      await model.save(
        tf.io.withSaveHandler(saved => {
          artifacts = saved;
          return Promise.resolve({modelArtifactsInfo: {dateSaved: new Date(0), modelTopologyType: 'JSON'}});
        }),
      );
      const loaded = await tf.loadLayersModel(tf.io.fromMemory(artifacts!));
      expect(loaded.countParams()).to.equal(model.countParams());
      const cache = new KVCache(loaded);
      const ids = [1, 7, 3, 9, 4];
      await expectClose(await logitsOf(loaded, ids, {cache}), await logitsOf(model, ids), 1e-6);
      expect(() => loaded.apply(asBatch(Array.from({length: 20}, () => 1)), {cache})).to.throw(
        ContextLengthError,
      );
      cache.dispose();
      model.dispose();
      loaded.dispose();
    });
  }

  it('load from files that were saved when blocks had layers of sums', async () => {
    for (const [name, saved] of Object.entries(savedModels)) {
      const {ids, logits, weightData, ...artifacts} = saved;
      const data = Uint8Array.from(Buffer.from(weightData, 'base64')).buffer;
      const model = await tf.loadLayersModel(tf.io.fromMemory({...artifacts, weightData: data}));
      expect(model.layers.some(layer => layer.name === 'attention_sum_0')).to.equal(true);
      const cache = new KVCache(model);
      await expectClose(await logitsOf(model, ids), logits, 1e-5, name);
      await expectClose(await logitsOf(model, ids, {cache}), logits, 1e-5, name);
      cache.dispose();
      model.dispose();
    }
  });

  it('free all that they hold, tied embeddings too, built or loaded', async () => {
    await expectNoLeak(async () => {
      const model = buildModel(config);
      const artifacts: tf.io.ModelArtifacts[] = [];
      await model.save(
        tf.io.withSaveHandler(saved => {
          artifacts.push(saved);
          return Promise.resolve({modelArtifactsInfo: {dateSaved: new Date(0), modelTopologyType: 'JSON'}});
        }),
      );
      const loaded = await tf.loadLayersModel(tf.io.fromMemory(artifacts[0]!));
      model.dispose();
      loaded.dispose();
    });
  });

  it('count a tied embedding once', () => {
    const [tied, untied] = [buildModel(config), buildModel({...config, tiedEmbeddings: false})];
    expect(untied.countParams() - tied.countParams()).to.equal(config.vocabSize * config.dim);
    const block = 16 * 16 * 2 + 16 * 8 * 2 + (16 + 8 + 8) + 3 * 16 * 24 + 2 * 16;
    expect(tied.countParams()).to.equal(12 * 16 + 2 * block + 16);
    tied.dispose();
    untied.dispose();
  });

  it('refuse texts beyond their context before anything is computed', () => {
    for (const sizes of [config, gpt2]) {
      const model = buildModel(sizes);
      const cache = new KVCache(model, quantized({bits: 8, groupSize: 8, residual: 0}));
      const ids = (tokens: number) => asBatch(Array.from({length: tokens}, () => 1));
      tf.tidy(() => {
        expect(() => model.apply(ids(25))).to.throw(
          ContextLengthError,
          /context is 24 tokens; 25 tokens were given/,
        );
        model.apply(ids(24));
        model.apply(ids(23), {cache});
        expect(() => model.apply(ids(2), {cache})).to.throw(
          ContextLengthError,
          /2 tokens after the 23 in the cache/,
        );
        expect(cache.tokens).to.equal(23);
        model.apply(ids(1), {cache});
        expect(cache.tokens).to.equal(24);
      });
      cache.dispose();
      model.dispose();
    }
  });
});
