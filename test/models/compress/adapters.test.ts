import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import gptTfjs from 'gpt-tfjs';
import {
  type CompressOptions,
  attachCache,
  calibrate,
  compress,
  fusedQkvAdapter,
  registerAttentionAdapter,
} from '../../../models/index.js';
import {KVCache} from '../../../cache/kv_cache.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {
  CausalSelfAttention,
  GptAttention,
  MultiHeadAttention,
  modelOf,
} from '../../support/other_attentions.js';
import {randomFloats} from '../../support/random.js';
import {expectClose} from '../../support/tensors.js';
import {rejection} from '../../base/files/rejection.js';

const [tokens, vocab] = [20, 40];
const ids = Array.from(randomFloats(3, 8 * tokens), x => Math.floor(Math.abs(x) * 1000) % vocab);
const kinds: Record<string, (name: string) => tf.layers.Layer> = {
  "Keras' layout": name => new MultiHeadAttention({name}),
  'a fused projection': name => new CausalSelfAttention({name}),
};

for (const [kind, make] of Object.entries(kinds)) {
  for (const length of [null, tokens]) {
    describe(`attention of others, ${kind}, texts of ${length ?? 'any'} tokens`, () => {
      let model: tf.LayersModel;
      before(async () => {
        await useBackend('wasm');
        model = modelOf(make, length);
      });
      after(() => model.dispose());

      const logits = async (of: tf.LayersModel, cache?: KVCache) => {
        const out = tf.tidy(
          () => of.apply(tf.tensor2d(ids.slice(0, tokens), [1, tokens]), cache && {cache}) as tf.Tensor,
        );
        const numbers = await out.data();
        out.dispose();
        return numbers;
      };
      const compressed = async (options: CompressOptions) =>
        compress(model, await calibrate({model}, [ids], {window: tokens}), options);

      it('at full rank gives the same logits', async () => {
        const {model: whole} = await compressed({ratio: 1, center: true});
        await expectClose(await logits(whole), await logits(model), 1e-4);
        whole.dispose();
      });

      it('takes a cache once it is compressed, and predicts its errors', async () => {
        const {model: low, rows} = await compressed({ratio: 0.5, text: ids, tokens});
        expect(rows.map(({keyRank, valueRank}) => keyRank + valueRank).reduce((a, b) => a + b)).to.equal(8);
        for (const {measured} of rows) expect(measured!.valueError).to.be.above(0).and.below(1);
        const cache = new KVCache(low);
        await expectClose(await logits(low, cache), await logits(low), 1e-4);
        expect(cache.tokens).to.equal(tokens);
        cache.dispose();
        low.dispose();
      });
    });
  }
}

describe('attention in models inside a model', () => {
  before(() => useBackend('wasm'));

  const logits = async (model: tf.LayersModel, cache?: KVCache) => {
    const input = tf.tensor2d(ids.slice(0, tokens), [1, tokens], 'int32');
    const out = model.apply(input, cache && {cache}) as tf.Tensor;
    const numbers = await out.data();
    tf.dispose([input, out]);
    return numbers;
  };
  const embedding = () => tf.layers.embedding({inputDim: vocab, outputDim: 12, inputShape: [null]});
  const models: Record<string, () => tf.LayersModel> = {
    'the blocks of a GPT': () =>
      gptTfjs.model.GPTLMHeadModel({
        nLayer: 2,
        nHead: 3,
        nEmbd: 12,
        vocabSize: vocab,
        blockSize: 32,
        dropout: 0,
      }).model,
    'a sequence': () =>
      tf.sequential({
        layers: [embedding(), new CausalSelfAttention({}), tf.layers.dense({units: vocab})],
      }),
    'a sequence in a sequence': () =>
      tf.sequential({
        layers: [
          tf.sequential({layers: [embedding(), new CausalSelfAttention({})]}),
          tf.layers.dense({units: vocab}),
        ],
      }),
    'a model applied behind others': () => {
      const inner = tf.input({shape: [null, 12]});
      const attended = new MultiHeadAttention({name: 'inner'}).apply(inner) as tf.SymbolicTensor;
      const sum = tf.layers.add().apply([inner, attended]) as tf.SymbolicTensor;
      const block = tf.model({inputs: inner, outputs: sum});
      const input = tf.input({shape: [null]});
      const embedded = tf.layers.embedding({inputDim: vocab, outputDim: 12}).apply(input);
      const head = tf.layers.dense({units: vocab});
      return tf.model({inputs: input, outputs: head.apply(block.apply(embedded)) as tf.SymbolicTensor});
    },
  };
  for (const [name, make] of Object.entries(models)) {
    it(`is found and compressed: ${name}`, async () => {
      const model = make();
      tf.tidy(() =>
        model.setWeights(
          model.getWeights().map(({shape, size}, i) => tf.tensor(randomFloats(70 + i, size, 0.5), shape)),
        ),
      );
      const dense = await logits(model);
      const calibration = await calibrate(model, ids, {window: tokens});
      const whole = await compress(model, calibration, {ratio: 1});
      const low = await compress(model, calibration, {ratio: 0.5, text: ids, tokens});
      expect(whole.rows).to.have.length(name === 'the blocks of a GPT' ? 2 : 1);
      await expectClose(await logits(whole.model), dense, 1e-4);
      expect(await logits(model), 'the given model does not change').to.deep.equal(dense);
      for (const {measured} of low.rows) expect(measured!.outputError).to.be.above(0).and.below(1);
      const cache = await attachCache(low.model); // for the layers that count positions
      await expectClose(await logits(low.model, cache), await logits(low.model), 1e-4);
      expect(cache.tokens).to.equal(tokens);
      cache.dispose();
      whole.dispose();
      low.dispose();
      model.dispose();
    });
  }
});

describe('adapters', () => {
  before(() => useBackend('wasm'));

  it('can be added for layers of other names, once', async () => {
    const model = modelOf(name => new GptAttention({name}));
    await rejection(
      calibrate({model}, [ids]),
      ModelError,
      /"block_0" \(GptAttention\).*registerAttentionAdapter/,
    );
    registerAttentionAdapter(fusedQkvAdapter('GptAttention'));
    expect((await calibrate({model}, [ids])).depths).to.have.length(2);
    expect(() => registerAttentionAdapter(fusedQkvAdapter('GptAttention'))).to.throw(
      InvalidArgumentError,
      /already/,
    );
    model.dispose();
  });

  it('refuse layers that are not what their name says', async () => {
    class Bare extends tf.layers.Layer {
      static readonly className = 'CausalSelfAttention';
    }
    class BareHeads extends tf.layers.Layer {
      static readonly className = 'MultiHeadAttention';
    }
    for (const make of [(name: string) => new Bare({name}), (name: string) => new BareHeads({name})]) {
      const model = modelOf(make);
      await rejection(calibrate({model}, [ids]), ModelError, /"block_0"/);
      model.dispose();
    }
  });

  it('need whole texts where a model takes no other length', async () => {
    const model = modelOf(name => new CausalSelfAttention({name}), tokens);
    await rejection(calibrate({model}, [ids.slice(0, tokens - 1)]), InvalidArgumentError, /20 at least/);
    model.dispose();
  });
});
