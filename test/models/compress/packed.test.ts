import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../../cache/kv_cache.js';
import {eigenAttention, tokenEmbedding} from '../../../layers/index.js';
import {formatOf} from '../../../ops/weights/packed_variables.js';
import {buildModel, calibrate, compress, fineTune} from '../../../models/index.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {weightSpectra} from '../../../src/evaluate/ranks/weight_spectra.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {copyUnpacked, recordsOf, setRandomWeights} from '../../support/packed_layers.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {logitsOf} from '../architectures/tiny_models.js';
import {rejection} from '../../base/files/rejection.js';

const config: ModelConfig = {
  architecture: 'llama',
  vocabSize: 23,
  contextLength: 64,
  depths: 2,
  dim: 40,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  hiddenDim: 52,
  activation: 'silu',
  rope: {theta: 100},
  normEpsilon: 1e-5,
  biases: {queryKeyValue: true, attentionOutput: false, feedForward: false},
  tiedEmbeddings: true,
};
const ids = Array.from({length: 48}, (_, i) => (i * i + 3 * i) % 23);

describe('compression of a model with packed weights', () => {
  let packed: tf.LayersModel;
  let floats: tf.LayersModel;
  before(async () => {
    await useBackend('wasm');
    packed = buildModel(config, {formatOf: name => (name.includes('feed') ? 'packed4' : 'packed8')});
    floats = buildModel(config);
    setRandomWeights(packed, 7);
    copyUnpacked(packed, floats);
  });
  after(() => [packed, floats].forEach(model => model.dispose()));

  const compressed = async (ratio: number) =>
    compress(packed, await calibrate({model: packed}, ids), {ratio, tokens: 20});

  it('makes float32 attention of packed kernels; all other weights are packed and shared', async () => {
    const {model} = await compressed(1);
    await expectClose(await logitsOf(model, ids), await logitsOf(packed, ids), 2e-3);
    const before = new Map(packed.weights.map(variable => [variable.originalName, variable]));
    for (const layer of model.layers) {
      const isAttention = layer.getClassName() === 'EigenkvEigenAttention';
      for (const variable of layer.weights) {
        const source = before.get(variable.originalName);
        if (isAttention) expect(formatOf(variable), variable.originalName).to.equal('float32');
        else {
          expect(formatOf(variable), variable.originalName).to.equal(formatOf(source!));
          expect(variable.read().dataId, variable.originalName).to.equal(source!.read().dataId);
        }
      }
    }
    model.dispose();
    await logitsOf(packed, ids); // its weights are still there
  });

  it('computes what compression of the same numbers in float32 computes', async () => {
    const options = {ranks: {keys: [4, 6], values: [5, 3]}};
    const ofFloats = await compress(floats, await calibrate({model: floats}, ids), options);
    const ofPacked = await compress(packed, await calibrate({model: packed}, ids), options);
    await expectClose(await logitsOf(ofPacked.model, ids), await logitsOf(ofFloats.model, ids), 5e-3);
    const cache = new KVCache(ofPacked.model);
    await expectClose(
      await logitsOf(ofPacked.model, ids, {cache}),
      await logitsOf(ofPacked.model, ids),
      1e-3,
    );
    cache.dispose();
    ofFloats.dispose();
    ofPacked.dispose();
  });

  it('can be fine-tuned: packed weights stay, compressed attention comes back to its teacher', async () => {
    const {model} = await compressed(0.5);
    const records = recordsOf(model);
    const losses = await fineTune(model, ids, {teacher: packed, epochs: 4, window: 24, learningRate: 2e-3});
    expect(losses.at(-1)).to.be.below(0.9 * losses[0]!);
    expect(recordsOf(model)).to.deep.equal(records);
    model.dispose();
  });

  it('leaks nothing, also if it is refused half way', async () => {
    const calibration = await calibrate({model: packed}, ids);
    await expectNoLeak(async () => (await compress(packed, calibration, {ratio: 0.5})).dispose());
    const last = packed.layers.at(-2)!;
    const former = last.getConfig.bind(last);
    last.getConfig = () => {
      throw new Error('no config');
    };
    await expectNoLeak(async () => {
      await rejection(compress(packed, calibration, {ratio: 0.5}), Error, /no config/);
    });
    last.getConfig = former;
  });

  it('refuses to fine-tune compressed attention whose own weights are packed, and names it', async () => {
    const input = tf.input({shape: [null], dtype: 'int32'});
    const layers = [
      tokenEmbedding({vocabSize: 23, dim: 40}),
      eigenAttention({name: 'low', numHeads: 4, weights: {query: 'packed8', output: 'packed4'}}),
    ];
    const outputs = layers.reduce((x, layer) => layer.apply(x) as tf.SymbolicTensor, input);
    const model = tf.model({inputs: input, outputs});
    const {message} = await rejection(fineTune(model, ids, {window: 24}), InvalidArgumentError);
    expect(message).to.match(
      /Layer "low" has packed weights.*low\/query_kernel \(packed8\), low\/output_kernel \(packed4\).*\{weights: 'float32'\}/,
    );
    model.dispose();
  });

  it('has the spectra of the numbers that its weights hold', async () => {
    const [ofPacked, ofFloats] = [await weightSpectra(packed), await weightSpectra(floats)];
    expect(ofPacked.length).to.equal(14);
    ofPacked.forEach(({singularValues, ...row}, i) => {
      const {singularValues: expected, ...other} = ofFloats[i]!;
      expect([row.depth, row.weight, row.rows, row.columns]).to.deep.equal([
        other.depth,
        other.weight,
        other.rows,
        other.columns,
      ]);
      singularValues
        .slice(0, 8)
        .forEach((value, j) => expect(value).to.be.closeTo(expected[j]!, 1e-3 * expected[0]!));
    });
    await expectNoLeak(() => weightSpectra(packed).then(() => undefined));
  });
});
