import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import gptTfjs from 'gpt-tfjs';
import {KVCache, quantized, sliding} from '../../../cache/index.js';
import {
  attachCache,
  generate,
  paddedBehind,
  registerAttentionAdapter,
  registerPositionAdapter,
} from '../../../models/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {ContextLengthError, InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {evaluate} from '../../../src/evaluate/index.js';
import {CausalSelfAttention, MultiHeadAttention, modelOf} from '../../support/other_attentions.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';
import {rejection} from '../../base/files/rejection.js';

const prompt = [5, 17, 3];
const coarse = quantized({sinks: 0, bits: 4, groupSize: 16, residual: 16});

/** Random matrices and embeddings, as a GPT starts; scales and biases of norms stay as they are. */
function randomize(model: tf.LayersModel, seed = 1): void {
  tf.tidy(() =>
    model.setWeights(
      model
        .getWeights()
        .map((weight, i) =>
          weight.rank < 2 ? weight : tf.tensor(randomFloats(100 * seed + i, weight.size, 0.05), weight.shape),
        ),
    ),
  );
}

function smallGpt(blockSize = 64) {
  const sizes = {nLayer: 3, nHead: 3, nEmbd: 48, vocabSize: 64, dropout: 0.1};
  const gpt = gptTfjs.model.GPTLMHeadModel({...sizes, blockSize});
  randomize(gpt.model);
  return gpt;
}

async function continued(model: tf.LayersModel, cache: KVCache, tokens: number): Promise<number[]> {
  const ids = [...prompt];
  for await (const id of generate(model, prompt, {cache, tokens})) ids.push(id);
  return ids;
}

/** Logits of ids that come in steps. */
async function stepped(model: tf.LayersModel, ids: readonly number[], steps: number[], cache?: KVCache) {
  const logits: number[] = [];
  for (let start = 0, i = 0; start < ids.length; start += steps[i++]!) {
    const part = ids.slice(start, start + steps[i]!);
    const output = tf.tidy(
      () => model.apply(tf.tensor2d(part, [1, part.length], 'int32'), cache && {cache}) as tf.Tensor,
    );
    logits.push(...(await output.data()));
    output.dispose();
  }
  return logits;
}

const isAttached = (model: tf.LayersModel): boolean =>
  model.layers.some(layer =>
    layer instanceof tf.LayersModel
      ? isAttached(layer)
      : 'layerShape' in layer || Object.hasOwn(layer, 'call'),
  );

describe('attachCache', () => {
  before(() => useBackend('wasm'));

  it('continues a GPT of the package gpt-tfjs as it continues itself', async () => {
    const gpt = smallGpt();
    const [plain] = await gpt.generate([prompt], {maxNewTokens: 30});
    expect(new Set(plain).size, 'tokens that it says').to.be.above(10);
    const cache = await attachCache(gpt.model);
    expect(await continued(gpt.model, cache, 30)).to.deep.equal(plain);
    expect(cache.tokens).to.equal(33);
    expect(cache.report()).to.have.length(3);
    // without a cache it does what it did
    expect((await gpt.generate([prompt], {maxNewTokens: 10}))[0]).to.deep.equal(plain!.slice(0, 13));
    cache.dispose();
    gpt.model.dispose();
  });

  it('gives it a smaller cache by a plan, and its evaluation', async () => {
    const {model} = smallGpt();
    const cache = await attachCache(model, coarse);
    const full = new KVCache(model);
    await continued(model, cache, 60);
    await continued(model, full, 60);
    expect(cache.byteSize).to.be.below(0.6 * full.byteSize);
    const ids = Array.from({length: 60}, (_, i) => (i * i) % 64);
    const {
      rows: [exact, rough],
    } = await evaluate({model, contextLength: 64}, ids, {plans: [coarse]});
    expect(exact!.perplexity).to.be.above(1);
    expect(rough!.klDivergence).to.be.above(0).and.below(0.1);
    cache.dispose();
    full.dispose();
    model.dispose();
  });

  it('takes a model with its tokenizer, as every function does', async () => {
    const {model} = smallGpt();
    const cache = await attachCache({model, tokenizer: characterTokenizer}, 'full', {check: false});
    expect(cache.model).to.equal(model);
    cache.dispose();
    model.dispose();
  });

  it('takes texts of a batch, in any steps', async () => {
    const {model} = smallGpt();
    const cache = await attachCache(model);
    const ids = tf.tensor2d(
      Array.from({length: 40}, (_, i) => (7 * i) % 64),
      [2, 20],
      'int32',
    );
    const [whole, parts] = tf.tidy<[tf.Tensor, tf.Tensor]>(() => [
      model.apply(ids) as tf.Tensor,
      tf.concat(
        [0, 9, 10, 14].map(
          (start, i, starts) =>
            model.apply(tf.slice(ids, [0, start], [2, (starts[i + 1] ?? 20) - start]), {cache}) as tf.Tensor,
        ),
        1,
      ),
    ]);
    await expectClose(parts, whole, 1e-5);
    tf.dispose([ids, whole, parts]);
    cache.dispose();
    model.dispose();
  });

  it('copies no weight: what is trained afterwards counts', async () => {
    const {model} = smallGpt();
    const {numTensors} = tf.memory();
    const cache = await attachCache(model);
    expect(tf.memory().numTensors).to.equal(numTensors);
    randomize(model, 2);
    const ids = [1, 2, 3, 4, 5, 6];
    await expectClose(await stepped(model, ids, [4, 1, 1], cache), await stepped(model, ids, [6]), 1e-5);
    cache.dispose();
    model.dispose();
  });

  it('attaches another cache to layers that know already, and leaves nothing behind', async () => {
    const {model} = smallGpt();
    await expectNoLeak(async () => {
      const cache = await attachCache(model, coarse);
      const other = await attachCache(model, sliding({window: 8, sinks: 2}), {expectedTokens: 30});
      await continued(model, cache, 30);
      await continued(model, other, 30);
      expect(other.report()[2]!.tokensHeld).to.be.at.most(10);
      cache.dispose();
      other.dispose();
    });
    model.dispose();
  });

  it('knows the context of a GPT', async () => {
    const {model} = smallGpt(16);
    const cache = await attachCache(model);
    const ids = (tokens: number) => tf.zeros([1, tokens], 'int32');
    tf.tidy(() => {
      model.apply(ids(15), {cache});
      expect(() => model.apply(ids(2), {cache})).to.throw(ContextLengthError, /16 tokens; 2 after the 15/);
      expect(cache.tokens).to.equal(15);
      model.apply(ids(1), {cache});
    });
    cache.dispose();
    model.dispose();
  });

  const others: Record<string, (name: string) => tf.layers.Layer> = {
    "Keras' layout": name => new MultiHeadAttention({name}),
    'a fused projection': name => new CausalSelfAttention({name}),
  };
  for (const [kind, make] of Object.entries(others)) {
    for (const length of [null, 12]) {
      it(`takes attention of others: ${kind}, ${length === null ? 'texts of any length' : 'a fixed length'}`, async () => {
        const model = modelOf(make, length);
        const ids = Array.from({length: 12}, (_, i) => (5 * i + 3) % 40);
        const expected = await stepped(model, ids, [12]);
        const cache = await attachCache(model);
        await expectClose(await stepped(model, ids, [5, 1, 1, 5], cache), expected, 1e-5);
        expect(cache.report()).to.have.length(2);
        cache.dispose();
        model.dispose();
      });
    }
  }

  it('takes a sequence, and a model inside a model', async () => {
    const inner = tf.sequential({
      layers: [
        tf.layers.embedding({inputDim: 40, outputDim: 12, inputShape: [null]}),
        new CausalSelfAttention({name: 'inside'}),
      ],
    });
    const model = tf.sequential({layers: [inner, tf.layers.dense({units: 9})]});
    randomize(model);
    const ids = Array.from({length: 12}, (_, i) => (5 * i + 3) % 40);
    const cache = await attachCache(model);
    await expectClose(await stepped(model, ids, [7, 1, 4], cache), await stepped(model, ids, [12]), 1e-5);
    cache.dispose();
    model.dispose();
  });

  it('takes layers of eigenkv, saved and loaded', async () => {
    const model = tinyModel();
    const artifacts: tf.io.ModelArtifacts[] = [];
    await model.save(
      tf.io.withSaveHandler(saved => {
        artifacts.push(saved);
        return Promise.resolve({modelArtifactsInfo: {dateSaved: new Date(0), modelTopologyType: 'JSON'}});
      }),
    );
    const loaded = await tf.loadLayersModel(tf.io.fromMemory(artifacts[0]!));
    const ids = characterTokenizer.encode('It was the best of times');
    const cache = await attachCache(loaded);
    await expectClose(
      await stepped(loaded, ids, [20, 1, 4], cache),
      await stepped(model, ids, [ids.length]),
      1e-5,
    );
    expect(loaded.layers.some(layer => Object.hasOwn(layer, 'call'))).to.equal(false);
    cache.dispose();
    model.dispose();
    loaded.dispose();
  });

  describe('refuses', () => {
    class StrangeAttention extends CausalSelfAttention {
      static override readonly className = 'StrangeAttention' as 'CausalSelfAttention';
    }

    it('attention that no adapter knows: it is named, and the guide', async () => {
      const model = modelOf(name => new StrangeAttention({name}));
      await rejection(
        attachCache(model),
        ModelError,
        /"block_0" \(StrangeAttention\), "block_1" \(StrangeAttention\).*CausalSelfAttention.*adapters\.md/,
      );
      expect(isAttached(model)).to.equal(false);
      model.dispose();
    });

    it('models without attention: all their layers are listed', async () => {
      const model = tf.sequential({
        layers: [
          tf.layers.embedding({name: 'ids', inputDim: 4, outputDim: 4, inputLength: 3}),
          tf.layers.dense({name: 'mix', units: 4}),
        ],
      });
      await rejection(attachCache(model), ModelError, /"ids" \(Embedding\), "mix" \(Dense\).*adapters\.md/);
      model.dispose();
    });

    it('adapters that do not say how a layer projects', async () => {
      class SilentAttention extends CausalSelfAttention {
        static override readonly className = 'SilentAttention' as 'CausalSelfAttention';
      }
      registerAttentionAdapter({
        className: 'SilentAttention',
        describe: layer => ({
          layer,
          heads: 3,
          kvHeads: 3,
          headDim: 4,
          read: () => Promise.reject(new Error('not read here')),
        }),
      });
      const model = modelOf(name => new SilentAttention({name}));
      await rejection(attachCache(model), ModelError, /"block_0" \(SilentAttention\).*"parts"/);
      model.dispose();
    });

    it('layers that count positions unknown to it, until an adapter says how', async () => {
      /** Adds sin(position) to every number. */
      class Waves extends tf.layers.Layer {
        static readonly className = 'Waves';
        override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
          return tf.tidy(() => {
            const x = (Array.isArray(inputs) ? inputs[0] : inputs)!;
            const tokens = x.shape[1]!;
            return tf.add(x, tf.reshape(tf.sin(tf.range(0, tokens)), [1, tokens, 1]));
          });
        }
      }
      const ids = tf.input({shape: [null]});
      const layers = [
        tf.layers.embedding({inputDim: 40, outputDim: 12}),
        new Waves({}),
        new CausalSelfAttention({}),
        tf.layers.dense({units: 9}),
      ];
      const logits = layers.reduce((x, layer) => layer.apply(x) as tf.SymbolicTensor, ids);
      const model = tf.model({inputs: ids, outputs: logits});
      await rejection(attachCache(model), ModelError, /otherwise.*registerPositionAdapter.*adapters\.md/s);
      expect(isAttached(model)).to.equal(false);

      const adapter = {className: 'Waves', behind: paddedBehind};
      registerPositionAdapter(adapter);
      expect(() => registerPositionAdapter(adapter)).to.throw(
        InvalidArgumentError,
        /already a position adapter for Waves/,
      );
      const cache = await attachCache(model);
      const text = Array.from({length: 12}, (_, i) => (5 * i + 3) % 40);
      await expectClose(await stepped(model, text, [7, 1, 4], cache), await stepped(model, text, [12]), 1e-5);
      cache.dispose();
      model.dispose();
    });

    it('attention that sees later tokens', async () => {
      /** Every token gets the mean of all on top of its attention. */
      class SeeingAttention extends CausalSelfAttention {
        static override readonly className = 'CausalSelfAttention';
        override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
          return tf.tidy(() => {
            const attended = super.call(inputs);
            return tf.add(attended, tf.mean(attended, 1, true));
          });
        }
      }
      const model = modelOf(name => new SeeingAttention({name}));
      await rejection(attachCache(model), ModelError, /not causal/);
      model.dispose();
    });

    it('models that take no other number of tokens', async () => {
      const model = tf.sequential({
        layers: [
          tf.layers.embedding({inputDim: 40, outputDim: 12, inputLength: 12}),
          new CausalSelfAttention({}),
        ],
      });
      await rejection(attachCache(model), ModelError, /does not run on 1 tokens.*inputLength/s);
      model.dispose();
    });

    it('padding masks', async () => {
      const model = tf.sequential({
        layers: [
          tf.layers.embedding({inputDim: 40, outputDim: 12, inputShape: [null], maskZero: true}),
          new CausalSelfAttention({name: 'masked'}),
        ],
      });
      model.layers[1]!.supportsMasking = true;
      await rejection(attachCache(model), InvalidArgumentError, /"masked" got a padding mask/);
      model.dispose();
    });

    it('masks that come by another name', async () => {
      const {model} = smallGpt();
      const cache = await attachCache(model);
      const ids = tf.tensor2d([[1, 2]], [1, 2], 'int32');
      expect(() => model.apply(ids, {cache, attention_mask: tf.ones([1, 2])})).to.throw(
        InvalidArgumentError,
        /got a padding mask \(attention_mask/,
      );
      expect(cache.tokens).to.equal(0);
      cache.dispose();
      model.dispose();
    });

    it('plans that do not fit, and models that it cannot compare', async () => {
      const {model} = smallGpt();
      await rejection(
        attachCache(model, {name: 'onlineSvd', options: {rank: 99}}),
        InvalidArgumentError,
        /rank/,
      );
      expect(isAttached(model)).to.equal(false);
      const two = tf.model({inputs: model.inputs, outputs: [model.outputs[0]!, model.outputs[0]!]});
      await rejection(attachCache(two), InvalidArgumentError, /1 inputs and 2 outputs.*check: false/);
      const cache = await attachCache(two, undefined, {check: false});
      expect(cache.report()).to.have.length(3);
      cache.dispose();
      model.dispose();
    });
  });
});
