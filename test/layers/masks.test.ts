import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {
  attention,
  eigenAttention,
  feedForward,
  flashAttention,
  outputHead,
  positionEmbedding,
  rmsNormalization,
} from '../../layers/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {InvalidArgumentError} from '../../base/errors.js';

const ids = tf.input({shape: [null], dtype: 'int32'});
const options = {numHeads: 2};
const attentions = {
  attention: () => attention(options),
  eigenAttention: () => eigenAttention({...options, keyRank: 4, valueRank: 4}),
  flashAttention: () => flashAttention(options),
};
const between: Record<string, () => tf.layers.Layer[]> = {
  'right behind the embedding': () => [],
  'behind layers that compute token by token': () => [
    positionEmbedding({maxPositions: 16}),
    rmsNormalization(),
    feedForward({hiddenDim: 8}),
  ],
};

describe('A mask of tokens', () => {
  before(() => useBackend('wasm'));

  for (const [name, make] of Object.entries(attentions)) {
    for (const [where, layers] of Object.entries(between)) {
      it(`that reaches ${name} ${where} is refused, with a cache and without`, () => {
        const model = modelOf({maskZero: true}, [...layers(), make()]);
        tf.tidy(() => {
          const text = tf.tensor2d([[0, 0, 5, 6]], [1, 4], 'int32');
          const refused = [
            () => model.apply(text),
            () => model.predict(text),
            () => model.apply(text, {cache: new KVCache(model)}),
          ];
          for (const apply of refused)
            expect(apply).to.throw(InvalidArgumentError, /got a padding mask.*maskZero/);
        });
        model.dispose();
      });
    }
  }

  for (const mask of ['mask', 'attentionMask', 'attention_mask', 'attn_mask', 'keyMask', 'paddingmask']) {
    it(`given as ${mask} is refused, not dropped`, () => {
      const model = modelOf({}, [attention(options)]);
      tf.tidy(() => {
        const text = tf.tensor2d([[0, 0, 5, 6]], [1, 4], 'int32');
        const given = {[mask]: tf.tensor2d([[0, 0, 1, 1]], [1, 4], 'bool')};
        const cache = new KVCache(model);
        expect(() => model.apply(text, {cache, ...given})).to.throw(InvalidArgumentError, mask);
        expect(cache.tokens).to.equal(0);
        expect(() => model.apply(text, {cache, [mask]: null})).not.to.throw();
        cache.dispose();
      });
      model.dispose();
    });
  }

  it('that tfjs loses in a model inside the model, or in a sum with what has none, is refused all the same', () => {
    const embedding = (maskZero: boolean) => tf.layers.embedding({inputDim: 10, outputDim: 8, maskZero});
    const inner = tf.model({inputs: ids, outputs: embedding(true).apply(ids) as tf.SymbolicTensor});
    const sum = tf.layers
      .add()
      .apply([embedding(false).apply(ids), embedding(true).apply(ids)] as tf.SymbolicTensor[]);
    for (const masked of [inner.apply(ids), sum] as tf.SymbolicTensor[]) {
      const model = tf.model({inputs: ids, outputs: attention(options).apply(masked) as tf.SymbolicTensor});
      tf.tidy(() => {
        const text = tf.tensor2d([[0, 0, 5, 6]], [1, 4], 'int32');
        expect(() => model.apply(text)).to.throw(InvalidArgumentError, /got a padding mask/);
        expect(() => model.predict(text)).to.throw(InvalidArgumentError, /got a padding mask/);
      });
    }
  });

  it('does not stop layers that compute token by token', () => {
    const model = modelOf({maskZero: true}, [rmsNormalization(), feedForward({hiddenDim: 8})]);
    tf.tidy(() => {
      const text = tf.tensor2d([[0, 5, 6]], [1, 3], 'int32');
      expect((model.apply(text) as tf.Tensor).shape).to.deep.equal([1, 3, 10]);
    });
    model.dispose();
  });
});

function modelOf(embedding: {maskZero?: boolean}, layers: readonly tf.layers.Layer[]): tf.LayersModel {
  const all = [
    tf.layers.embedding({inputDim: 10, outputDim: 8, ...embedding}),
    ...layers,
    outputHead({vocabSize: 10}),
  ];
  const outputs = all.reduce((x, layer) => layer.apply(x) as tf.SymbolicTensor, ids);
  return tf.model({inputs: ids, outputs});
}
