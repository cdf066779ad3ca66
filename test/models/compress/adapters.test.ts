import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {
  type CompressOptions,
  calibrate,
  compressModel,
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
      const compress = async (options: CompressOptions) =>
        compressModel(model, await calibrate({model}, [ids], {window: tokens}), options);

      it('at full rank gives the same logits', async () => {
        const {model: whole} = await compress({ratio: 1, center: true});
        await expectClose(await logits(whole), await logits(model), 1e-4);
        whole.dispose();
      });

      it('takes a cache once it is compressed, and predicts its errors', async () => {
        const {model: low, rows} = await compress({ratio: 0.5, sample: ids.slice(0, tokens)});
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

describe('adapters', () => {
  before(() => useBackend('wasm'));

  it('can be added for layers of other names, once', async () => {
    const model = modelOf(name => new GptAttention({name}));
    await rejection(
      calibrate({model}, [ids]),
      InvalidArgumentError,
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
