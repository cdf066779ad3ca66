import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {KVCache} from '../../../cache/index.js';
import {attachCache, loadKerasModel} from '../../../models/index.js';
import {groupQueryAttention, multiHeadAttention} from '../../../layers/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {
  type EigenkvError,
  FormatError,
  InvalidArgumentError,
  ModelError,
  TransferError,
} from '../../../base/errors.js';
import {pathOf} from '../../support/keras_exports.js';
import {rejection} from '../../base/files/rejection.js';

type Json = Record<string, unknown>;
interface LayerJson {
  class_name: string;
  name: string;
  config: Json;
  inbound_nodes: unknown[];
}

/** A copy of an export with something changed in it. */
function changed(name: string, change: (layers: LayerJson[], json: Json) => void): tf.io.IOHandler {
  const json = JSON.parse(readFileSync(`${pathOf(name)}/model.json`, 'utf8')) as tf.io.ModelJSON;
  const {model_config: model} = json.modelTopology as {model_config: {config: {layers: LayerJson[]}}};
  change(model.config.layers, json as unknown as Json);
  const weights = new Uint8Array(readFileSync(`${pathOf(name)}/group1-shard1of1.bin`));
  return {
    load: () =>
      tf.io.getModelArtifactsForJSON(json, manifest =>
        Promise.resolve([manifest.flatMap(({weights: specs}) => specs), weights.buffer]),
      ),
  };
}

const layerIn = (layers: LayerJson[], name: string) => layers.find(layer => layer.name === name)!;

async function expectRefusal(
  source: string | tf.io.IOHandler,
  kind: typeof EigenkvError,
  text: RegExp,
): Promise<void> {
  const {numTensors} = tf.memory();
  await rejection(loadKerasModel(source), kind, text);
  expect(tf.memory().numTensors).to.equal(numTensors);
}

describe('loadKerasModel refuses', () => {
  before(() => useBackend('wasm'));

  const configs: Record<string, readonly [string, Json, RegExp]> = {
    'a window of 0': [
      'gqa_3',
      {sliding_window: 0},
      /"att_0": slidingWindow = 0; expected a whole number >= 1/,
    ],
    'a negative window': ['mha_3', {sliding_window: -3}, /slidingWindow = -3/],
    'half a head': ['mha_3', {num_heads: 2.5}, /numHeads = 2.5; expected a whole number/],
    'key heads that do not divide the heads': [
      'gqa_3',
      {num_key_value_heads: 3},
      /4 is not a multiple of .* = 3/,
    ],
    'dropout of everything': ['mha_2', {dropout: 1}, /dropout = 1; expected a number from 0, below 1/],
    'attention over other axes': ['mha_2', {attention_axes: [2]}, /attentionAxes = \[2\]/],
    'an output of two axes': ['mha_2', {output_shape: [3, 4]}, /outputShape = \[3,4\]/],
    'what nobody knows': ['mha_3', {logits_soft_cap: 50}, /logitsSoftCap = 50, which is not known here/],
    'an initializer that nobody knows': [
      'mha_3',
      {kernel_initializer: 'magic'},
      /kernelInitializer = "magic".*registerClass/,
    ],
  };
  for (const [what, [name, config, text]] of Object.entries(configs)) {
    it(`${what} in the config of attention`, async () => {
      const source = changed(name, layers => Object.assign(layerIn(layers, 'att_0').config, config));
      await expectRefusal(source, InvalidArgumentError, text);
    });
  }

  it('a part of weights that is something else', async () => {
    const part = (layer: string, key: string, value: unknown) =>
      changed('mha_3', layers => (layerIn(layers, layer).config[key] = value));
    const dense = {class_name: 'Dense', config: {units: 3}};
    const cases: [string, string, unknown, RegExp][] = [
      [
        'att_0',
        'bias_constraint',
        dense,
        /"att_0" says bias_constraint = Dense, which is no constraint but a layer/,
      ],
      ['feed_0_up', 'bias_constraint', dense, /"feed_0_up" says bias_constraint = Dense/],
      [
        'feed_0_up',
        'kernel_constraint',
        'ReLU',
        /kernel_constraint = ReLU, which is no constraint but a layer/,
      ],
      ['feed_0_up', 'kernel_constraint', 'relu', /no constraint but an activation/],
      [
        'feed_0_up',
        'kernel_regularizer',
        {class_name: 'Zeros', config: {}},
        /no regularizer but an initializer/,
      ],
      ['tok', 'embeddings_initializer', {class_name: 'L1L2', config: {}}, /no initializer but a regularizer/],
    ];
    for (const [layer, key, value, text] of cases)
      await expectRefusal(part(layer, key, value), ModelError, text);
    const given = {numHeads: 2, keyDim: 3};
    const biasConstraint = {className: 'Zeros', config: {}};
    expect(() => multiHeadAttention({...given, biasConstraint})).to.throw(
      InvalidArgumentError,
      /biasConstraint is Zeros, which is no constraint but an initializer/,
    );
    const maxNorm = part('feed_0_up', 'bias_constraint', {
      class_name: 'MaxNorm',
      config: {max_value: 1e3, axis: 0},
    });
    (await loadKerasModel(maxNorm)).dispose();
  });

  it('configs that contradict the weights', async () => {
    const heads = changed('mha_3', layers => Object.assign(layerIn(layers, 'att_1').config, {num_heads: 4}));
    await expectRefusal(
      heads,
      ModelError,
      /"att_1\/query\/kernel" is \[12, 3, 4\] in the file.*\[12, 4, 4\]/,
    );
    const biases = changed('mha_3', layers =>
      Object.assign(layerIn(layers, 'att_1').config, {use_bias: false}),
    );
    await expectRefusal(biases, ModelError, /no layer has "att_1\/query\/bias"/);
    const gate = changed('mha_3', layers => Object.assign(layerIn(layers, 'att_1').config, {use_gate: true}));
    await expectRefusal(gate, ModelError, /it has no "att_1\/gate\/kernel", "att_1\/gate\/bias"/);
  });

  it('layers of classes that are not registered, all of them by name', async () => {
    const source = changed('mha_3', layers => {
      layerIn(layers, 'att_0').class_name = 'CachedGemmaAttention';
      layerIn(layers, 'att_1').class_name = 'CachedGemmaAttention';
      layerIn(layers, 'tok').class_name = 'ReversibleEmbedding';
    });
    await expectRefusal(
      source,
      ModelError,
      /ReversibleEmbedding \("tok"\); CachedGemmaAttention \("att_0", "att_1"\).*registerClass/,
    );
  });

  it('calls that cannot be imitated', async () => {
    const call = (kwargs: Json) =>
      changed('mha_3', layers => {
        const [node] = layerIn(layers, 'att_0').inbound_nodes as {kwargs: Json}[];
        Object.assign(node!.kwargs, kwargs);
      });
    await expectRefusal(call({training: true}), ModelError, /"att_0" .*training=True/);
    await expectRefusal(call({return_attention_scores: true}), InvalidArgumentError, /returnAttentionScores/);
    await expectRefusal(call({use_causal_mask: 3}), InvalidArgumentError, /useCausalMask = 3/);
  });

  it('norms that tfjs computes otherwise', async () => {
    const source = changed('mha_3', layers => (layerIn(layers, 'norm_0_a').config['rms_scaling'] = true));
    await expectRefusal(source, ModelError, /"norm_0_a" \(LayerNormalization\).*use RMSNormalization/);
  });

  it('sizes beyond the file, tensors that nothing makes, and names that two layers have', async () => {
    const wide = changed('mha_3', layers => (layerIn(layers, 'feed_0_up').config['units'] = 1e9));
    await expectRefusal(
      wide,
      ModelError,
      /"feed_0_up" says units = 1000000000, and all weights of the file are 2668 numbers/,
    );
    const lost = changed(
      'mha_2',
      layers => (layerIn(layers, 'head').inbound_nodes = [[['nowhere', 0, 0, {}]]]),
    );
    await expectRefusal(lost, ModelError, /"head" .*application 0 of "nowhere", which no layer/);
    const twice = changed('mha_2', layers => (layerIn(layers, 'norm_0_a').name = 'tok'));
    await expectRefusal(twice, ModelError, /two layers of the name "tok"/);
    const nothing = changed(
      'mha_3',
      layers => (layerIn(layers, 'head').inbound_nodes = [{args: [], kwargs: {}}]),
    );
    await expectRefusal(nothing, ModelError, /"head" .*without a tensor/);
  });

  it('graphs that are damaged', async () => {
    const source = changed('mha_3', layers => (layerIn(layers, 'att_0').inbound_nodes = [{args: 3}]));
    await expectRefusal(source, ModelError, /"att_0" .*says of its inputs.*neither Keras 2 nor Keras 3/);
    const numbers = changed('mha_2', layers => (layerIn(layers, 'att_0').inbound_nodes = [[[1, 2]]]));
    await expectRefusal(numbers, ModelError, /neither Keras 2 nor Keras 3/);
    const nothing = changed('mha_3', (_, json) => (json['modelTopology'] = {keras_version: '3.1'}));
    await expectRefusal(nothing, FormatError, /holds no model/);
    const custom = changed('mha_3', (_, json) => {
      json['modelTopology'] = {keras_version: '3.1', model_config: {class_name: 'Gpt', config: {dim: 3}}};
    });
    await expectRefusal(custom, ModelError, /has no list of layers, so it is a class of its own/);
  });

  it('what is no layers model, and what is not there', async () => {
    const graph = changed('mha_3', (_, json) => (json['format'] = 'graph-model'));
    await expectRefusal(graph, InvalidArgumentError, /--output_format=tfjs_layers_model/);
    await expectRefusal('no/such/model.json', InvalidArgumentError, /no file .*no.such.model\.json/);
    await expectRefusal('gopher://x/model.json', TransferError, /gopher/);
    await expectRefusal(7 as unknown as string, InvalidArgumentError, /loadKerasModel\(7\)/);
    await rejection(
      loadKerasModel(pathOf('mha_3'), {maskzero: false} as object),
      InvalidArgumentError,
      /no option "maskzero".*maskZero/,
    );
  });

  it('weights that are cut off, elsewhere, or no files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'keras-'));
    try {
      const json = readFileSync(`${pathOf('mha_3')}/model.json`, 'utf8');
      const weights = readFileSync(`${pathOf('mha_3')}/group1-shard1of1.bin`);
      writeFileSync(join(folder, 'model.json'), json);
      await expectRefusal(folder, InvalidArgumentError, /no file .*group1-shard1of1\.bin/);
      writeFileSync(join(folder, 'group1-shard1of1.bin'), weights.subarray(0, 1000));
      await expectRefusal(folder, FormatError, /shorter than the model\.json says/);
      writeFileSync(join(folder, 'model.json'), json.replace('group1-', '../group1-'));
      await expectRefusal(folder, FormatError, /outside of its folder/);
      writeFileSync(join(folder, 'model.json'), json.slice(0, 100));
      await expectRefusal(folder, FormatError, /not JSON/);
    } finally {
      rmSync(folder, {recursive: true});
    }
  });
});

describe('attention of Keras refuses', () => {
  before(() => useBackend('wasm'));

  it('a cache where it is not causal or attends to something else', async () => {
    const model = await loadKerasModel(pathOf('translation_3'));
    await rejection(
      attachCache(model),
      ModelError,
      /"att_source" .*"useCausalMask":false.*only causal attention/,
    );
    expect(() => {
      const cache = new KVCache(model);
      const x = tf.ones([1, 3], 'int32');
      try {
        tf.tidy(() => void model.apply([x, x], {cache}));
      } finally {
        cache.dispose();
        x.dispose();
      }
    }).to.throw(ModelError, /"att_source"/);
    model.dispose();
  });

  it('padding with a cache', async () => {
    const model = await loadKerasModel(pathOf('mha_masks_3'));
    const cache = new KVCache(model);
    const x = tf.tensor2d([[3, 17, 0]], undefined, 'int32');
    expect(() => tf.tidy(() => void model.apply(x, {cache}))).to.throw(
      InvalidArgumentError,
      /padding with a cache.*maskZero: false/,
    );
    x.dispose();
    cache.dispose();
    model.dispose();
  });

  it('training with a cache, masks as keyword arguments, and inputs that nobody named', () => {
    tf.tidy(() => {
      const layer = multiHeadAttention({numHeads: 2, keyDim: 3, name: 'plain'});
      const x = tf.ones([1, 4, 6]);
      const cache = {tokens: 0, attend: () => tf.ones<tf.Rank.R4>([1, 2, 4, 3])};
      expect(() => layer.apply(x, {cache, useCausalMask: true, training: true})).to.throw(
        InvalidArgumentError,
        /training/,
      );
      expect(() => layer.apply(x, {cache})).to.throw(ModelError, /only causal attention/);
      expect(() => layer.apply(x, {attentionMask: tf.ones([4, 4])})).to.throw(
        InvalidArgumentError,
        /attentionMask.*takes/,
      );
      expect(() => layer.apply(x, {mask: tf.ones([1, 4])})).to.throw(
        InvalidArgumentError,
        /keyword argument mask/,
      );
      expect(() => layer.apply(x, {takes: ['query', 'value']})).to.throw(
        InvalidArgumentError,
        /got 1 inputs/,
      );
      expect(() => layer.apply(x, {takes: ['answer']})).to.throw(
        InvalidArgumentError,
        /takes = \["answer"\]/,
      );
      expect(() => layer.apply([x, x, x, x, x])).to.throw(InvalidArgumentError, /got 5 inputs/);
      layer.dispose();
    });
  });

  it('no masks that are named as inputs, before or behind a first call', () => {
    tf.tidy(() => {
      const layer = multiHeadAttention({numHeads: 2, keyDim: 3});
      const x = tf.ones([1, 4, 6]);
      const mask = tf.tensor2d([[1, 1, 0, 0]]);
      const output = layer.apply([x, mask], {takes: ['query', 'valueMask']}) as tf.Tensor;
      expect(output.shape).to.deep.equal([1, 4, 6]);
      expect((layer.apply(x) as tf.Tensor).shape).to.deep.equal([1, 4, 6]);
      layer.dispose();
    });
  });

  it('two ways of being applied in one model', () => {
    const [x, y] = [tf.input({shape: [null, 6]}), tf.input({shape: [null, 6]})];
    const layer = groupQueryAttention({headDim: 3, numQueryHeads: 2, numKeyValueHeads: 1, name: 'twice'});
    layer.apply(x, {useCausalMask: true});
    expect(() => layer.apply(y)).to.throw(ModelError, /"twice" is applied as .* and as/);
    expect(() => layer.apply([x, y])).to.throw(ModelError, /"twice"/);
    layer.dispose();
  });
});
