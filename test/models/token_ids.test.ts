import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {PrefixCache} from '../../cache/sharing/prefix_cache.js';
import {generate} from '../../models/generate/generate.js';
import {buildModel, type ModelConfig} from '../../models/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {epochCallback, evaluate} from '../../src/evaluate/index.js';
import {describeOnBackends} from '../support/backends.js';
import {rejection} from '../base/files/rejection.js';

const config: ModelConfig = {
  architecture: 'llama',
  vocabSize: 97,
  contextLength: 64,
  depths: 1,
  dim: 8,
  heads: 2,
  kvHeads: 1,
  headDim: 4,
  hiddenDim: 8,
  activation: 'silu',
  rope: {theta: 10_000},
  normEpsilon: 1e-5,
  biases: {queryKeyValue: false, attentionOutput: false, feedForward: false},
  tiedEmbeddings: false,
};
const noIds: [unknown, RegExp][] = [
  [1.5, /1\.5/],
  [NaN, /NaN/],
  [undefined, /undefined/],
  [null, /null/],
  ['5', /5/],
  [2 ** 32 + 3, /4294967299/],
  [97, /97.*0 to 96/],
  [-1, /-1/],
  [Infinity, /Infinity/],
];

describe('Ids that are no ids', () => {
  let model: tf.LayersModel;
  before(async () => {
    await useBackend('wasm');
    model = buildModel(config, {kernelInitializer: 'glorotUniform'});
  });
  after(() => void model.dispose());

  it('in what is no list are refused by name', async () => {
    const tensor = tf.tensor1d([1, 2], 'int32');
    for (const given of [tensor, 5, 'ab', null, undefined, new Set([1])]) {
      const ids = given as unknown as number[];
      const message = given === 'ab' ? /without a tokenizer/ : /ids is .*expected a list/;
      await rejection(generate(model, ids).next(), InvalidArgumentError, message);
      const eos = generate(model, [1], {eosIds: ids, tokens: 1}).next();
      if (given !== undefined) await rejection(eos, InvalidArgumentError, /eosIds is .*expected a list/);
      const cache = new KVCache(model);
      const prefixes = new PrefixCache({chunkTokens: 1});
      await rejection(prefixes.resume(cache, ids, 1), InvalidArgumentError, /expected a list/);
      expect(() => prefixes.remember(cache, ids, 1)).to.throw(InvalidArgumentError, /expected a list/);
    }
    tensor.dispose();
  });

  it('or are others than a cache took in, are not remembered as its beginning', () => {
    const cache = new KVCache(model);
    const prefixes = new PrefixCache({chunkTokens: 2});
    tf.tidy(() => void model.apply(tf.tensor2d([[1, 2]], [1, 2], 'int32'), {cache}));
    for (const ids of [[1], [1, 2, 3, 4], [1, 2.5], [NaN, 2], [2 ** 32 + 1, 2]]) {
      expect(() => prefixes.remember(cache, ids, 1), ids.join()).to.throw(InvalidArgumentError);
    }
    expect(prefixes.byteSize).to.equal(0);
    cache.dispose();
  });

  it('and tensors of another rank are refused by the shape', () => {
    tf.tidy(() => {
      const tensors = [tf.tensor1d([1, 2], 'int32'), tf.scalar(3, 'int32'), tf.zeros([1, 1, 2], 'int32')];
      for (const ids of tensors) {
        expect(() => model.apply(ids)).to.throw(InvalidArgumentError, /expected ids \[batch, tokens\]/);
      }
      const ids = tf.tensor2d([[2 ** 32, 2]]); // int32 would make it 0
      expect(() => model.apply(ids)).to.throw(InvalidArgumentError, /4294967296/);
      for (const cache of [null, {}, 'x']) {
        expect(() => model.apply(tf.zeros([1, 2], 'int32'), {cache})).to.throw(
          InvalidArgumentError,
          /no cache/,
        );
      }
    });
  });

  for (const [id, message] of noIds) {
    const ids = [4, id as number, 5, 6];
    it(`such as ${String(id)} (${typeof id}) are refused where they come in as numbers`, async () => {
      const cache = new KVCache(model);
      await rejection(generate(model, ids, {cache, tokens: 2}).next(), InvalidArgumentError, message);
      expect(cache.tokens).to.equal(0);
      await rejection(
        evaluate({model, contextLength: config.contextLength}, ids),
        InvalidArgumentError,
        message,
      );
      expect(() => epochCallback(model, ids)).to.throw(InvalidArgumentError, message);
    });
  }

  it('are refused in tensors of floating point numbers, which tfjs would round', () => {
    tf.tidy(() => {
      for (const wrong of [1.5, NaN]) {
        expect(() => model.apply(tf.tensor2d([[4, wrong]])), String(wrong)).to.throw(InvalidArgumentError);
        expect(() => model.predict(tf.tensor2d([[4, wrong]])), String(wrong)).to.throw(InvalidArgumentError);
      }
      expect((model.apply(tf.tensor2d([[4, 5]])) as tf.Tensor).shape, 'whole ones are taken').to.deep.equal([
        1, 2, 97,
      ]);
    });
  });
});

describeOnBackends(
  'Ids beyond the vocabulary',
  () => {
    it('are refused by apply and predict, in every text of a batch', () => {
      const model = buildModel(config, {kernelInitializer: 'glorotUniform'});
      tf.tidy(() => {
        for (const wrong of [97, -1]) {
          const batch = tf.tensor2d(
            [
              [1, 2, 3],
              [4, wrong, 6],
            ],
            [2, 3],
            'int32',
          );
          const cache = new KVCache(model);
          const message = /token 1 of text 1 is (97|-1).*0 to 96/;
          expect(() => model.apply(batch, {cache})).to.throw(InvalidArgumentError, message);
          expect(() => model.predict(batch)).to.throw(InvalidArgumentError, message);
          expect(cache.tokens).to.equal(0);
        }
      });
      model.dispose();
    });
  },
  ['cpu', 'wasm'],
);
