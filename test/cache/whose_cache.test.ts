import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {PrefixCache} from '../../cache/sharing/prefix_cache.js';
import {full, h2o, lfu, lru, quantized} from '../../cache/policies/index.js';
import {WatchedCache} from '../../cache/watch/watched_cache.js';
import {attention} from '../../layers/index.js';
import {generate} from '../../models/generate/generate.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {CacheStateError, InvalidArgumentError} from '../../base/errors.js';
import {rejection} from '../base/files/rejection.js';
import {tinyModel} from '../support/tiny_model.js';

// A cache is of one model, of its weights as they are, and of one user at a time. Everything else is plausible text of nobody.

const ids = Array.from({length: 40}, (_, i) => 2 + ((i * 37) % 95));

const step = (model: tf.LayersModel, cache: KVCache | WatchedCache, from: number, to: number): Float32Array =>
  tf.tidy(() => {
    const logits = model.apply(tf.tensor2d(ids.slice(from, to), [1, to - from], 'int32'), {cache});
    return (logits as tf.Tensor).dataSync<'float32'>().slice();
  });

describe('A cache and its model', () => {
  let [model, other]: tf.LayersModel[] = [];
  before(async () => {
    await useBackend('wasm');
    [model, other] = [tinyModel(1), tinyModel(2)];
  });
  after(() => [model!, other!].forEach(each => void each.dispose()));

  describe('of another model', () => {
    it('the cache is refused before it is changed', async () => {
      const cache = new KVCache(model!);
      expect(() => step(other!, cache, 0, 5)).to.throw(InvalidArgumentError, /another model.*new KVCache/);
      step(model!, cache, 0, 10);
      const before = await cache.save();
      expect(() => step(other!, cache, 10, 11)).to.throw(InvalidArgumentError, /another model/);
      expect(() => step(other!, new WatchedCache(cache, []), 10, 11)).to.throw(InvalidArgumentError);
      expect(Buffer.compare(await cache.save(), before), 'as before').to.equal(0);
      cache.dispose();
    });

    it('the cache is refused if that has fewer or more depths', () => {
      const layers = [0, 1].map(depth => attention({numHeads: 2, depth}));
      const x = tf.input({shape: [null, 8]});
      const one = tf.model({inputs: x, outputs: layers[0]!.apply(x) as tf.SymbolicTensor});
      const two = tf.model({
        inputs: x,
        outputs: [0, 1]
          .map(depth => attention({numHeads: 2, depth}))
          .reduce((y, layer) => layer.apply(y) as tf.SymbolicTensor, x),
      });
      const t = tf.zeros([1, 3, 8]);
      const [ofOne, ofTwo] = [new KVCache(one), new KVCache(two)];
      expect(() => one.apply(t, {cache: ofTwo})).to.throw(InvalidArgumentError, /another model/);
      expect(() => two.apply(t, {cache: ofOne})).to.throw(InvalidArgumentError, /another model/);
      expect([ofOne.tokens, ofTwo.tokens]).to.deep.equal([0, 0]);
      t.dispose();
    });

    it('continueFrom refuses its tokens', () => {
      const [cache, foreign] = [new KVCache(model!), new KVCache(other!)];
      step(other!, foreign, 0, 5);
      expect(() => cache.continueFrom(foreign)).to.throw(InvalidArgumentError, /another model/);
      cache.dispose();
      foreign.dispose();
    });

    it('continueFrom takes nothing but a cache', () => {
      const cache = new KVCache(model!);
      for (const given of [undefined, null, {}, 'cache', {cache}]) {
        expect(() => cache.continueFrom(given as unknown as KVCache)).to.throw(
          InvalidArgumentError,
          /continueFrom\(.*\); expected a KVCache/,
        );
      }
      cache.dispose();
    });

    it('a cache of layer shapes belongs to the first layer that calls it, until it is reset', () => {
      const rows = [0, 1].map(depth => ({depth, heads: 4, kvHeads: 2, dim: 8, dimV: 8}));
      const cache = new KVCache(rows);
      step(model!, cache, 0, 5);
      expect(() => step(other!, cache, 5, 6)).to.throw(InvalidArgumentError, /another model/);
      step(model!, cache, 5, 6);
      cache.reset();
      step(other!, cache, 0, 5);
      cache.dispose();
    });

    it('a model that shares the layers may use it', () => {
      const part = tf.model({
        inputs: model!.inputs,
        outputs: model!.layers.at(-2)!.output,
      });
      const cache = new KVCache(model!);
      step(model!, cache, 0, 5);
      step(part, cache, 5, 6);
      expect(cache.tokens).to.equal(6);
      cache.dispose();
    });
  });

  describe('of other weights', () => {
    it('is an error at the next step and at save until reset', async () => {
      const changing = tinyModel(3);
      const [cache, empty] = [new KVCache(changing), new KVCache(changing)];
      step(changing, cache, 0, 10);
      tf.tidy(() => changing.setWeights(changing.getWeights().map(weight => tf.mul(weight, 1.1))));
      expect(() => step(changing, cache, 10, 11)).to.throw(CacheStateError, /weights changed.*reset/);
      await rejection(cache.save(), CacheStateError, /weights changed/);
      expect(() => step(changing, cache.fork(), 10, 11)).to.throw(CacheStateError, /weights changed/);
      cache.reset();
      expect(step(changing, cache, 0, 10)).to.deep.equal(step(changing, empty, 0, 10));
      cache.dispose();
      empty.dispose();
      changing.dispose();
    });

    it('detects weights that fit changed', async () => {
      const x = tf.input({shape: [null, 8]});
      const trained = tf.model({inputs: x, outputs: attention({numHeads: 2}).apply(x) as tf.SymbolicTensor});
      trained.compile({optimizer: 'sgd', loss: 'meanSquaredError'});
      const cache = new KVCache(trained);
      const t = tf.randomNormal([1, 3, 8], 0, 1, 'float32', 1);
      (trained.apply(t, {cache}) as tf.Tensor).dispose();
      await trained.fit(t, tf.zerosLike(t), {epochs: 1});
      expect(() => trained.apply(t, {cache})).to.throw(CacheStateError, /weights changed/);
      cache.dispose();
      t.dispose();
    });

    it('a restored cache is bound to the weights at that time', async () => {
      const changing = tinyModel(3);
      const cache = new KVCache(changing);
      step(changing, cache, 0, 10);
      const restored = await KVCache.restore(await cache.save(), changing);
      step(changing, restored, 10, 11);
      tf.tidy(() => changing.setWeights(changing.getWeights().map(weight => tf.mul(weight, 1.1))));
      expect(() => step(changing, restored, 11, 12)).to.throw(CacheStateError, /weights changed/);
      cache.dispose();
      restored.dispose();
      changing.dispose();
    });
  });

  describe('while a generation uses it', () => {
    const all = async (given: AsyncGenerator<number>): Promise<number[]> => {
      const list: number[] = [];
      for await (const id of given) list.push(id);
      return list;
    };

    it('refuses a second one without disturbing the first', async () => {
      const [first, second] = [ids.slice(0, 10), ids.slice(10, 25)];
      const alone = await all(generate(model!, first, {tokens: 8}));
      const cache = new KVCache(model!);
      const [one, two] = await Promise.allSettled([
        all(generate(model!, first, {cache, tokens: 8})),
        all(generate(model!, second, {cache, tokens: 8})),
      ]);
      expect(one).to.deep.equal({status: 'fulfilled', value: alone});
      expect(two).to.have.property('reason').that.is.instanceOf(CacheStateError);
      expect(cache.tokens).to.equal(18);
      expect(await all(generate(model!, [5], {cache, tokens: 1})), 'free again').to.have.length(1);
      cache.dispose();
    });

    it('refuses changes, but allows reading, fork and save', async () => {
      const cache = new KVCache(model!);
      const given = generate(model!, ids, {cache, tokens: 8});
      await given.next();
      const before = await cache.save();
      const refused: Record<string, () => unknown> = {
        step: () => step(model!, cache, 0, 1),
        dispose: () => cache.dispose(),
        reset: () => cache.reset(),
        continueFrom: () => cache.continueFrom(new KVCache(model!)),
        lease: () => cache.lease('me'),
      };
      for (const [name, change] of Object.entries(refused)) {
        expect(change, name).to.throw(CacheStateError, /in use by a generation/);
      }
      await rejection(cache.truncate(3), CacheStateError, /in use/);
      await rejection(cache.setPlan(quantized()), CacheStateError, /in use/);
      const fork = cache.fork();
      step(model!, fork, 0, 1);
      fork.dispose();
      expect(cache.report()).to.have.length(2);
      expect(Buffer.compare(await cache.save(), before), 'as before').to.equal(0);
      await given.return();
      await cache.setPlan(quantized());
      await cache.truncate(3);
      cache.dispose();
    });

    it('is released after an error, an abort and a break', async () => {
      const cache = new KVCache(model!);
      const aborted = generate(model!, ids, {cache, signal: AbortSignal.abort()});
      await rejection(all(aborted), DOMException, /abort/);
      for await (const id of generate(model!, ids, {cache, tokens: 8})) if (id >= 0) break;
      await rejection(all(generate(model!, [NaN], {cache})), InvalidArgumentError, /NaN/);
      cache.dispose();
    });
  });

  it('tf.dispose and tf.tidy leave its model, weights and tokens alone', () => {
    const [cache, reference] = [new KVCache(model!), new KVCache(model!)];
    const logits = step(model!, cache, 0, 10);
    step(model!, reference, 0, 10);
    const prefixes = new PrefixCache({chunkTokens: 8});
    prefixes.remember(cache, ids.slice(0, 10), 8);
    tf.dispose({
      logits,
      cache,
      prefixes,
      watched: new WatchedCache(cache, []),
    } as unknown as tf.TensorContainer);
    tf.tidy(() => ({cache, prefixes}) as unknown as tf.TensorContainer);
    expect(step(model!, cache, 10, 12)).to.deep.equal(step(model!, reference, 10, 12));
    prefixes.clear();
    cache.dispose();
    reference.dispose();
  });

  it('a layer that a model applies twice is refused, because its tokens would count twice', () => {
    const x = tf.input({shape: [null, 8]});
    const twice = attention({numHeads: 2, name: 'shared'});
    const model = tf.model({inputs: x, outputs: twice.apply(twice.apply(x)) as tf.SymbolicTensor});
    expect(() => new KVCache(model)).to.throw(InvalidArgumentError, /"shared" 2 times/);
    const listed = tf.sequential();
    const again = attention({numHeads: 2, inputShape: [4, 8]});
    listed.add(again);
    const inner = tf.model({
      inputs: x,
      outputs: attention({numHeads: 2}).apply(x) as tf.SymbolicTensor,
      name: 'inner',
    });
    const nested = tf.model({inputs: x, outputs: inner.apply(inner.apply(x)) as tf.SymbolicTensor});
    expect(() => new KVCache(nested)).to.throw(InvalidArgumentError, /"inner" 2 times/);
    expect(new KVCache(listed).tokens, 'applied once').to.equal(0);
    // one layer in two models, once in each
    const elsewhere = tf.input({shape: [null, 8]});
    const one = attention({numHeads: 2});
    const models = [x, elsewhere].map(input =>
      tf.model({inputs: input, outputs: one.apply(input) as tf.SymbolicTensor}),
    );
    for (const each of models) expect(new KVCache(each).tokens).to.equal(0);
  });

  for (const policy of [
    h2o({heavyBudget: 8, recentBudget: 8}),
    lru({maxCacheSize: 16}),
    lfu({maxCacheSize: 16}),
    full(),
  ]) {
    it(`truncate to all tokens changes nothing (${policy.name})`, async () => {
      const cache = new KVCache(model!, policy);
      step(model!, cache, 0, 20);
      for (let at = 20; at < 40; at++) step(model!, cache, at, at + 1);
      const before = await cache.save();
      await cache.truncate(40);
      expect(Buffer.compare(await cache.save(), before)).to.equal(0);
      cache.dispose();
    });
  }
});
