import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache, makePolicy, sliding, tokenBudget} from '../../../cache/index.js';
import {WatchedCache} from '../../../cache/watch/watched_cache.js';
import {generate} from '../../../models/generate/generate.js';
import {loadModel} from '../../../models/load.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {ContextLengthError} from '../../../base/errors.js';
import {shippedPolicies} from '../../cache/variants.js';

/** The short version of bench/long_run.ts, which goes on for 20,000 tokens. */
describe('a text beyond the context of the embedded model', function () {
  const options: Record<string, object> = {
    h2o: {heavyBudget: 20, recentBudget: 20},
    sliding: {window: 36},
    lru: {maxCacheSize: 40},
    lfu: {maxCacheSize: 40},
  };
  const bounded = shippedPolicies().filter(name => tokenBudget(makePolicy({name})) !== undefined);
  let loaded: Awaited<ReturnType<typeof loadModel>>;
  before(async () => {
    await useBackend('wasm');
    loaded = await loadModel();
  });
  after(() => {
    loaded.dispose();
  });

  for (const name of bounded) {
    it(`${name}: bytes and tensors stay flat, every token a number`, async () => {
      const policy = makePolicy({name, options: options[name] as Record<string, number>});
      const cache = new KVCache(loaded.model, policy, {beyondContext: true});
      const long = Array.from({length: loaded.config.contextLength - 64}, (_, i) => 5 + ((i * 31) % 500));
      const bytes = new Set<number>();
      const tensors = new Set<number>();
      let count = 0;
      for await (const id of generate(loaded.model, long, {cache, tokens: 128})) {
        expect(id).to.be.within(0, loaded.config.vocabSize - 1);
        if (count++ < 32) continue;
        bytes.add(cache.byteSize);
        tensors.add(tf.memory().numTensors);
      }
      expect(cache.tokens).to.be.greaterThan(loaded.config.contextLength);
      expect(Math.max(...bytes) / Math.min(...bytes), `bytes ${[...bytes].join(' ')}`).to.be.below(1.01);
      expect(tensors.size, `tensors ${[...tensors].join(' ')}`).to.equal(1);
      cache.dispose();
    });
  }

  it('is watched as well', () => {
    const {model, config} = loaded;
    const cache = new KVCache(model, sliding({window: 36}), {beyondContext: true});
    const watched = new WatchedCache(cache, []);
    for (let tokens = 0; tokens <= config.contextLength; tokens += 256) {
      tf.tidy(() => void model.apply(tf.fill([1, 256], 7, 'int32'), {cache: watched, lastTokenOnly: true}));
    }
    expect(cache.tokens).to.be.greaterThan(config.contextLength);
    watched.dispose();
    cache.dispose();
  });

  it('is refused by a cache that was not made for it', async () => {
    const cache = new KVCache(loaded.model);
    const long = Array.from({length: loaded.config.contextLength}, () => 7);
    let error: unknown;
    try {
      for await (const id of generate(loaded.model, long, {cache, tokens: 2})) expect(id).to.be.a('number');
    } catch (caught) {
      error = caught;
    }
    expect(error).to.be.instanceOf(ContextLengthError);
    cache.dispose();
  });
});
