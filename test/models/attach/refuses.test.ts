import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {type AttachOptions, attachCache} from '../../../models/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {EigenkvError, InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {
  OddAttention,
  type Oddities,
  before as tokenBefore,
  modelWith,
  oddSizes,
} from '../../support/odd_attention.js';
import {rejection} from '../../base/files/rejection.js';

/** A layer of a function. */
function layerOf(className: string, compute: (x: tf.Tensor) => tf.Tensor): tf.layers.Layer {
  class Made extends tf.layers.Layer {
    static readonly className = className;
    override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
      return tf.tidy(() => compute((Array.isArray(inputs) ? inputs[0] : inputs)!));
    }
  }
  return new Made({});
}

const plain = () => new OddAttention({name: 'plain'});

/** As before: nothing attached, no weight changed, nothing left in memory. */
async function expectRefusal(model: tf.LayersModel, kind: typeof EigenkvError, text: RegExp) {
  const weights = await Promise.all(model.getWeights().map(weight => weight.data()));
  const {numTensors} = tf.memory();
  await rejection(attachCache(model), kind, text);
  expect(tf.memory().numTensors).to.equal(numTensors);
  expect(model.layers.some(layer => 'layerShape' in layer || Object.hasOwn(layer, 'call'))).to.equal(false);
  const after = await Promise.all(model.getWeights().map(weight => weight.data()));
  expect(after).to.deep.equal(weights);
  model.dispose();
}

describe('attachCache refuses what it cannot imitate', () => {
  before(() => useBackend('wasm'));

  it('and takes the same layer without oddities', async () => {
    const model = modelWith([plain(), new OddAttention({name: 'second'})]);
    (await attachCache(model)).dispose();
    model.dispose();
  });

  for (const window of [2, 8, 60, 64, 65, 200, 500]) {
    it(`a local window of ${window} that nothing names`, async () => {
      const model = modelWith([plain(), new OddAttention({name: 'local', odd: {window}})]);
      const said = new RegExp(`"local" .*local window of ${window}\\?`);
      await expectRefusal(model, ModelError, said);
    });
  }

  for (const name of [
    'window',
    'windowSize',
    'slidingWindow',
    'sliding_window',
    'attention_window',
    'localWindow',
    'attn_span',
    'bandWidth',
    'radius',
    'max_distance',
  ]) {
    it(`a local window of 600 that the config calls ${name}`, async () => {
      const model = modelWith([new OddAttention({name: 'local', odd: {window: 600}, says: {[name]: 600}})]);
      await expectRefusal(model, ModelError, /"local" .*local window of 600\?/);
    });
  }

  it('a local window of 600 among nested options, or with checkTokens', async () => {
    const says = {attention: {windows: [4, 600]}};
    await expectRefusal(
      modelWith([new OddAttention({odd: {window: 600}, says})]),
      ModelError,
      /window of 600\?/,
    );
    const model = modelWith([new OddAttention({odd: {window: 600}})]);
    await rejection(attachCache(model, undefined, {checkTokens: 700}), ModelError, /window of 600\?/);
    model.dispose();
  });

  it('a window that is named and too wide to be tried', async () => {
    const model = modelWith([new OddAttention({name: 'wide', says: {slidingWindow: 8192}})]);
    await expectRefusal(model, ModelError, /"wide" .*window of 8192 tokens.*must say "window"/s);
  });

  it('no model for a context of a token or two', async () => {
    for (const length of [1, 2]) {
      const model = modelWith([plain()], {length});
      (await attachCache(model)).dispose();
      model.dispose();
    }
  });

  it('no window that the context never fills', async () => {
    const model = modelWith([new OddAttention({odd: {window: 32}})], {length: 32});
    (await attachCache(model)).dispose();
    model.dispose();
  });

  const kinds: Record<string, readonly [Oddities, RegExp]> = {
    'another scale': [{scale: 1 / 3}, /agrees for 1 token .*another scale/],
    'a scale that is hardly another': [{scale: 1.02 / Math.sqrt(8)}, /another scale/],
    'biases by distance (ALiBi)': [{slope: 0.25}, /agrees for 1 token .*ALiBi/],
    'a slight bias by distance': [{slope: 2 ** -8}, /ALiBi/],
    'learned biases by distance that are zeros yet': [{distanceBias: true}, /biases of scores/],
    'a cap of scores': [{cap: 50}, /caps of scores/],
    'rotary positions that the adapter does not name': [{rotary: true}, /rotary positions/],
    'norms of queries and keys': [{normed: true}, /norms of queries and keys/],
    'dropout that is always on': [{dropped: 0.1}, /other numbers for the same tokens each time/],
    'a state': [{counts: true}, /other numbers for the same tokens each time/],
    'an additional key and value': [{extraToken: true}, /first token on.*sinks/],
    'a sink in the sum': [{sink: true}, /first token on.*sinks/],
    'attention to all tokens': [{ahead: 1e5}, /not causal/],
    'attention one token ahead': [{ahead: 1}, /not causal/],
    'a residual inside': [{residual: true}, /first token on.*residual/],
    'a shift of tokens inside': [{shifted: true}, /"odd"/],
  };
  for (const [name, [odd, said]] of Object.entries(kinds)) {
    it(`${name}: with weights of any size`, async () => {
      for (const scale of [0.5, 1e-4]) {
        const model = modelWith([plain(), new OddAttention({name: 'odd', odd})], {scale});
        await expectRefusal(model, ModelError, said);
      }
    });
  }

  it('any of them behind a gate that is closed yet', async () => {
    /** Multiplies by a weight that starts at 0. */
    class Gate extends tf.layers.Layer {
      static readonly className = 'Gate';
      private gate: tf.LayerVariable | undefined;
      override build(): void {
        this.gate = this.addWeight('gate', [1], 'float32', tf.initializers.zeros());
        super.build([]);
      }
      override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
        return tf.tidy(() => tf.mul((Array.isArray(inputs) ? inputs[0] : inputs)!, this.gate!.read()));
      }
    }
    const {dim, vocab} = oddSizes;
    const gated = (layer: tf.layers.Layer) => {
      const ids = tf.input({shape: [null]});
      const x = tf.layers.embedding({inputDim: vocab, outputDim: dim}).apply(ids) as tf.SymbolicTensor;
      const inner = new Gate({}).apply(layer.apply(plain().apply(x))) as tf.SymbolicTensor;
      return tf.model({inputs: ids, outputs: tf.layers.add().apply([x, inner]) as tf.SymbolicTensor});
    };
    await expectRefusal(gated(new OddAttention({odd: {window: 8}})), ModelError, /window of 8\?/);
    await expectRefusal(gated(layerOf('Shift', tokenBefore)), ModelError, /\(Shift\)/);
    const fine = gated(new OddAttention({}));
    (await attachCache(fine)).dispose();
    fine.dispose();
  });

  describe('layers beside attention that mix tokens', () => {
    const mixers: Record<string, () => tf.layers.Layer> = {
      'a shift by 60 tokens': () =>
        layerOf('FarShift', x => Array.from({length: 60}).reduce<tf.Tensor>(tokenBefore, x)),
      'a shift of tokens': () => layerOf('TokenShift', tokenBefore),
      'a slight shift of tokens': () => layerOf('TokenShift', x => tf.add(x, tf.mul(tokenBefore(x), 0.001))),
      'norms over tokens': () => layerOf('TokenNorm', x => tf.sub(x, tf.mean(x, 1, true))),
      'sums of the past': () => layerOf('Cumulative', x => tf.cumsum(x, 1)),
      'the token behind': () => layerOf('LookAhead', x => tf.reverse(tokenBefore(tf.reverse(x, 1)), 1)),
      'tokens in reverse': () => layerOf('Reverse', x => tf.reverse(x, 1)),
      noise: () => layerOf('Noise', x => tf.add(x, tf.randomNormal(x.shape))),
      'attention by another name': () => {
        const hidden = new OddAttention({});
        hidden.build([null, null, oddSizes.dim]);
        return layerOf('Mixer', x => hidden.apply(x) as tf.Tensor);
      },
    };
    for (const [name, make] of Object.entries(mixers)) {
      it(name, async () => {
        const mixer = make();
        const model = modelWith([plain(), mixer]);
        await expectRefusal(model, ModelError, new RegExp(`"${mixer.name}" \\(${mixer.getClassName()}\\)`));
      });
    }

    it('a mean over the text before the logits', async () => {
      const model = tf.sequential({
        layers: [
          tf.layers.embedding({inputDim: 40, outputDim: 16, inputShape: [null]}),
          plain(),
          tf.layers.globalAveragePooling1d({}),
          tf.layers.dense({units: 40}),
        ],
      });
      await expectRefusal(model, ModelError, /otherwise than without/);
    });

    it('a layer that keeps its state', async () => {
      const ids = tf.input({batchShape: [1, null]});
      const layers = [
        tf.layers.embedding({inputDim: 40, outputDim: 16}),
        plain(),
        tf.layers.gru({units: 16, returnSequences: true, stateful: true}),
      ];
      const out = layers.reduce((x, layer) => layer.apply(x) as tf.SymbolicTensor, ids);
      await expectRefusal(tf.model({inputs: ids, outputs: out}), ModelError, /\(GRU\) keep a state/);
    });
  });

  it('a layer that takes tokens one by one is no mixer: norms, gates, products', async () => {
    const model = modelWith([
      plain(),
      tf.layers.layerNormalization(),
      tf.layers.batchNormalization(),
      tf.layers.timeDistributed({layer: tf.layers.dense({units: 16})}),
      tf.layers.conv1d({filters: 16, kernelSize: 1}),
      tf.layers.dropout({rate: 0.5}),
      tf.layers.gaussianNoise({stddev: 1}),
      layerOf('Gelu', x => tf.mul(x, tf.sigmoid(x))),
    ]);
    (await attachCache(model)).dispose();
    model.dispose();
  });

  describe('places of attention in a model', () => {
    const ids = () => tf.input({shape: [null]});
    const embedded = (input: tf.SymbolicTensor) =>
      tf.layers.embedding({inputDim: 40, outputDim: 16}).apply(input) as tf.SymbolicTensor;

    it('one layer applied twice: in a graph, in a sequence, inside a model that is', async () => {
      const input = ids();
      const twice = plain();
      const outputs = twice.apply(twice.apply(embedded(input))) as tf.SymbolicTensor;
      await expectRefusal(tf.model({inputs: input, outputs}), ModelError, /"plain" .*applied 2 times/);

      const again = plain();
      const first = tf.layers.embedding({inputDim: 40, outputDim: 16, inputShape: [null]});
      const sequence = tf.sequential({layers: [first, again]});
      sequence.add(again);
      await expectRefusal(sequence, ModelError, /"plain" .*applied 2 times/);

      const block = tf.sequential({layers: [tf.layers.dense({units: 16, inputShape: [null, 16]}), plain()]});
      const other = ids();
      const out = block.apply(block.apply(embedded(other))) as tf.SymbolicTensor;
      const model = tf.model({inputs: other, outputs: out});
      await rejection(attachCache(model), ModelError, /"plain" .*applied 2 times/);
      model.dispose();
    });

    it('but not one that stands in two models, once in each', async () => {
      const input = ids();
      const layer = plain();
      const hidden = layer.apply(embedded(input)) as tf.SymbolicTensor;
      const features = tf.model({inputs: input, outputs: hidden});
      const model = tf.model({
        inputs: input,
        outputs: tf.layers.dense({units: 40}).apply(hidden) as tf.SymbolicTensor,
      });
      (await attachCache(model)).dispose();
      (await attachCache(features)).dispose();
      model.dispose();
    });

    it('attention to another text, and with a mask as an input; without a check, too', async () => {
      const input = ids();
      const x = embedded(input);
      const other = tf.layers.dense({units: 16}).apply(x) as tf.SymbolicTensor;
      const outputs = plain().apply([x, other]) as tf.SymbolicTensor;
      const model = tf.model({inputs: input, outputs});
      await rejection(
        attachCache(model, undefined, {check: false}),
        ModelError,
        /"plain" .*2 inputs that differ.*mask/,
      );
      await expectRefusal(model, ModelError, /2 inputs that differ/);
    });

    it('but not one tensor given as query, key and value', async () => {
      const input = ids();
      const x = embedded(input);
      const outputs = plain().apply([x, x, x]) as tf.SymbolicTensor;
      const model = tf.model({inputs: input, outputs});
      (await attachCache(model)).dispose();
      model.dispose();
    });
  });

  it('training with a cache, masks, and options that are none', async () => {
    const model = modelWith([plain()]);
    const cache = await attachCache(model);
    const x = tf.tensor2d([[1, 2, 3]]);
    expect(() => model.apply(x, {cache, training: true})).to.throw(InvalidArgumentError, /training: true/);
    expect(cache.tokens).to.equal(0);
    for (const checkTokens of [0, 1.5, -3]) {
      await rejection(attachCache(model, undefined, {checkTokens}), InvalidArgumentError, /checkTokens/);
    }
    for (const options of [null, 5, {check: 'no'}, {checkToken: 5}]) {
      const attached = attachCache(model, undefined, options as unknown as AttachOptions);
      await rejection(attached, InvalidArgumentError, /attachCache/);
    }
    x.dispose();
    cache.dispose();
    model.dispose();
  });

  it('what is no model', async () => {
    const loading = Promise.resolve({model: plain()});
    for (const given of [undefined, null, 'text', 5, {}, {model: {}}, loading]) {
      const message = given === loading ? /await it/ : /no model; expected what loadModel returns/;
      await rejection(attachCache(given as unknown as tf.LayersModel), InvalidArgumentError, message);
    }
    await loading;
  });

  it('weights that are damaged, and outputs that say nothing', async () => {
    const broken = modelWith([plain()]);
    broken.layers[2]!.setWeights(broken.layers[2]!.getWeights().map(weight => tf.fill(weight.shape, NaN)));
    await rejection(attachCache(broken), EigenkvError, /NaN/);
    broken.dispose();
    const silent = modelWith([plain()]);
    const ended = tf.model({
      inputs: silent.inputs,
      outputs: layerOf('Silence', x => tf.mul(x, 0)).apply(silent.outputs[0]!) as tf.SymbolicTensor,
    });
    await expectRefusal(ended, ModelError, /the same for all tokens.*check: false/);
  });
});
