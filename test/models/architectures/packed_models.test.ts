import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {fingerprintOf} from '../../../cache/binding/fingerprint.js';
import {KVCache} from '../../../cache/kv_cache.js';
import {formatOf} from '../../../ops/weights/packed_variables.js';
import {buildModel} from '../../../models/architectures/index.js';
import {attachCache} from '../../../models/attach/index.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import type {WeightFormat} from '../../../ops/weights/formats.js';
import {
  copyUnpacked,
  expectCloseToLargest,
  recordsOf,
  setRandomWeights,
} from '../../support/packed_layers.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {asBatch, logitsOf} from './tiny_models.js';

const llama: ModelConfig = {
  architecture: 'llama',
  vocabSize: 19,
  contextLength: 32,
  depths: 2,
  dim: 40,
  heads: 4,
  kvHeads: 2,
  headDim: 10,
  hiddenDim: 52,
  activation: 'silu',
  rope: {theta: 100},
  normEpsilon: 1e-5,
  biases: {queryKeyValue: true, attentionOutput: false, feedForward: false},
  tiedEmbeddings: true,
};
const gpt2: ModelConfig = {
  ...llama,
  architecture: 'gpt2',
  kvHeads: 4,
  activation: 'geluNew',
  rope: undefined,
  biases: {queryKeyValue: true, attentionOutput: true, feedForward: true},
  tiedEmbeddings: false,
};
const ids = [1, 7, 3, 9, 4, 18, 0, 2, 2, 11];

/** A model with weights in these formats, and one of the same numbers in float32. */
function pair(config: ModelConfig, format: (variable: string) => WeightFormat) {
  const [packed, floats] = [buildModel(config, {formatOf: format}), buildModel(config)];
  setRandomWeights(packed, 3);
  copyUnpacked(packed, floats);
  const dispose = () => [packed, floats].forEach(model => model.dispose());
  return {packed, floats, dispose};
}

/** The gradients of a loss in all weights of a model that are not packed, by name. */
function gradientsOf(model: tf.LayersModel): Record<string, tf.Tensor> {
  const trained = model.trainableWeights;
  const names = new Map(trained.map(variable => [variable.read().id, variable.originalName]));
  const variables = Object.values(tf.engine().registeredVariables).filter(({id}) => names.has(id));
  const loss = () => tf.tidy(() => tf.mean<tf.Scalar>(tf.sin(model.apply(asBatch(ids)) as tf.Tensor)));
  const {value, grads} = tf.variableGrads(loss, variables);
  value.dispose();
  return Object.fromEntries(variables.map(({id, name}) => [names.get(id)!, grads[name]!]));
}

describe('a model with packed weights on wasm', () => {
  before(() => useBackend('wasm'));

  it('has the format of each variable that its builder is asked for', () => {
    for (const config of [llama, gpt2]) {
      const asked: string[] = [];
      const formats = ['packed4', 'float32', 'packed8', 'bfloat16'] as const;
      const byName = new Map<string, WeightFormat>();
      const model = buildModel(config, {
        formatOf: variable => {
          asked.push(variable);
          const format = formats[asked.length % 4]!;
          byName.set(variable, format);
          return format;
        },
      });
      const matrices = model.weights.filter(({originalName}) => /kernel$|embeddings$/.test(originalName));
      expect(asked.sort()).to.deep.equal(matrices.map(({originalName}) => originalName).sort());
      for (const variable of matrices) {
        expect(formatOf(variable), variable.originalName).to.equal(byName.get(variable.originalName));
      }
      expect(model.countParams()).to.equal(countOf(config));
      model.dispose();
    }
  });

  for (const [name, config] of Object.entries({llama, gpt2})) {
    for (const format of ['packed4', 'packed8', 'float16'] as const) {
      it(`${name}, ${format}: gives the logits of the same numbers in float32, with a cache and without`, async () => {
        const {packed, floats, dispose} = pair(config, () => format);
        const expected = await logitsOf(floats, ids);
        await expectClose(await logitsOf(packed, ids), expected, 2e-3);
        const cache = new KVCache(packed);
        const first = await logitsOf(packed, ids.slice(0, 6), {cache});
        const second = await logitsOf(packed, ids.slice(6, 7), {cache});
        await expectClose(
          [...Array.from(first), ...Array.from(second)],
          Array.from(expected).slice(0, 7 * 19),
          2e-3,
        );
        cache.dispose();
        dispose();
      });
    }

    it(`${name}: norms, biases and positions get the gradients that they have on float32 weights`, async () => {
      const {packed, floats, dispose} = pair(config, () => 'packed8Min');
      const [actual, expected] = [gradientsOf(packed), gradientsOf(floats)];
      const names = floats.trainableWeights
        .map(({originalName}) => originalName)
        .filter(each => !/kernel$|embeddings$/.test(each));
      expect(Object.keys(actual).sort()).to.deep.equal(names.sort());
      // without a rotation the bias of all keys changes no attention: its gradient is rounding
      const moving = names.filter(each => name !== 'gpt2' || !each.endsWith('key_bias'));
      for (const each of moving) await expectCloseToLargest(actual[each]!, expected[each]!, 3e-3, each);
      tf.dispose([actual, expected]);
      await expectNoLeak(() => gradientsOf(packed));
      dispose();
    });
  }

  it('takes an attached cache, and the residual of its layers is no input that attention mixes', async () => {
    const model = buildModel(llama, {formatOf: () => 'packed8'});
    setRandomWeights(model, 3);
    const expected = await logitsOf(model, ids);
    const cache = await attachCache(model, 'full');
    const first = await logitsOf(model, ids.slice(0, 7), {cache});
    const second = await logitsOf(model, ids.slice(7), {cache});
    await expectClose([...Array.from(first), ...Array.from(second)], expected, 1e-3);
    cache.dispose();
    model.dispose();
  });

  it('has the fingerprint of its numbers, in float32 too, on every backend', async () => {
    const {packed: model, floats} = pair(llama, name => (name.includes('feed') ? 'packed4' : 'packed8'));
    const digits = await fingerprintOf(model.layers);
    expect(await fingerprintOf(floats.layers)).to.equal(digits);
    floats.dispose();
    await useBackend('cpu');
    try {
      expect(await fingerprintOf(model.layers)).to.equal(digits);
    } finally {
      await useBackend('wasm');
    }
    setRandomWeights(model, 4);
    expect(await fingerprintOf(model.layers)).not.to.equal(digits);
    model.dispose();
  });

  it('learns by fit what is not packed, and saves and loads the packed weights bit for bit', async () => {
    const {packed, dispose} = pair(llama, variable => (variable.includes('feed') ? 'packed4' : 'packed8'));
    const records = recordsOf(packed);
    packed.compile({
      optimizer: tf.train.adam(0.02),
      loss: (labels: tf.Tensor, logits: tf.Tensor) => tf.losses.softmaxCrossEntropy(labels, logits),
    });
    const input = asBatch(ids.slice(0, -1));
    const next = tf.oneHot(asBatch(ids.slice(1)), llama.vocabSize);
    const {history} = await packed.fit(input, next, {epochs: 12, shuffle: false});
    const losses = history['loss'] as number[];
    expect(losses.at(-1)).to.be.below(0.8 * losses[0]!);
    expect(recordsOf(packed)).to.deep.equal(records);

    const saved: tf.io.ModelArtifacts[] = [];
    await packed.save(
      tf.io.withSaveHandler(artifacts => {
        saved.push(artifacts);
        return Promise.resolve({modelArtifactsInfo: {dateSaved: new Date(0), modelTopologyType: 'JSON'}});
      }),
    );
    const modelTopology = JSON.parse(JSON.stringify(saved[0]!.modelTopology)) as object;
    const loaded = await tf.loadLayersModel(tf.io.fromMemory({...saved[0]!, modelTopology}));
    expect(recordsOf(loaded)).to.deep.equal(records);
    expect(loaded.countParams()).to.equal(packed.countParams());
    await expectClose(await logitsOf(loaded, ids), await logitsOf(packed, ids), 0);
    tf.dispose([input, next]);
    loaded.dispose();
    dispose();
  });
});

function countOf(config: ModelConfig): number {
  const model = buildModel(config);
  const count = model.countParams();
  model.dispose();
  return count;
}
