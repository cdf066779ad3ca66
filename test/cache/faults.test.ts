import type {PairCodec, Policy} from '../../cache/contract.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {perDepth} from '../../cache/plans/index.js';
import {full, float8, onlineSvd, quantized} from '../../cache/policies/index.js';
import {byteStore} from '../../cache/stores/index.js';
import {CacheStateError, FormatError, TransferError} from '../../base/errors.js';
import {generate} from '../../models/generate/generate.js';
import {rejection} from '../base/files/rejection.js';
import {describeOnBackends} from '../support/backends.js';
import {tinyModel} from '../support/tiny_model.js';

// What fails in the middle leaves the cache as it was before the step, or it says that it cannot go on.

/** A policy that stores each token at once, throws when it stores for the nth time, and stores as another one otherwise. */
function failing(policy: Policy, failAt: number): Policy {
  let calls = 0;
  const store: PairCodec = {
    ...policy.store,
    exact: false,
    moveTokens: 1,
    add(past, block, context) {
      const stored = policy.store.add(past, block, context); // buffers are written to before it fails
      if (++calls === failAt) throw new RangeError('a fault of my own');
      return stored;
    },
  };
  return {...policy, name: 'failing', recent: 0, store};
}

const ids = Array.from({length: 90}, (_, i) => 2 + ((i * 37) % 95));

describeOnBackends('a cache', () => {
  let model: tf.LayersModel;
  before(() => {
    model = tinyModel(3);
  });
  after(() => model.dispose());

  const apply = (cache: KVCache, from: number, to: number) =>
    tf.tidy(() => {
      const logits = model.apply(tf.tensor2d(ids.slice(from, to), [1, to - from], 'int32'), {
        cache,
      }) as tf.Tensor;
      return logits.dataSync().slice();
    });

  const inner = {
    full: full(),
    quantized: quantized({keyAxis: 'token', groupSize: 4}),
    onlineSvd: onlineSvd({rank: 4, updateFreq: 3}),
    float8: float8({sinks: 0}),
  };
  for (const [name, policy] of Object.entries(inner)) {
    it(`is unchanged if a user's policy throws at its first depth (around ${name})`, async () => {
      const cache = new KVCache(model, perDepth([failing(policy, 3), policy]));
      apply(cache, 0, 40);
      apply(cache, 40, 41);
      const [before, {numTensors}] = [await cache.save(), tf.memory()];
      expect(() => apply(cache, 41, 42)).to.throw(RangeError, 'a fault of my own');
      expect(tf.memory().numTensors, 'tensors left behind').to.equal(numTensors);
      expect(Buffer.compare(await cache.save(), before)).to.equal(0);
      const alone = new KVCache(model, perDepth([failing(policy, Infinity), policy]));
      for (const [from, to] of [
        [0, 40],
        [40, 41],
        [41, 42],
        [42, 50],
      ] as const) {
        // prettier-ignore
        const expected = apply(alone, from, to);
        if (from > 40) expect(apply(cache, from, to)).to.deep.equal(expected);
      }
      cache.dispose();
      alone.dispose();
    });
  }

  it('reports a policy that throws at a later depth, and continues after truncate', async () => {
    const cache = new KVCache(model, perDepth([full(), failing(full(), 3)]));
    apply(cache, 0, 40);
    apply(cache, 40, 41);
    const before = await cache.save();
    expect(() => apply(cache, 41, 42)).to.throw(RangeError, 'a fault of my own');
    for (const use of [() => apply(cache, 41, 42), () => apply(cache, 42, 43), () => cache.fork()]) {
      expect(use).to.throw(CacheStateError, /hold 42 tokens and others 41\. truncate\(41\)/);
    }
    await rejection(cache.save(), CacheStateError);
    await cache.truncate(41);
    expect(Buffer.compare(await cache.save(), before)).to.equal(0);
    apply(cache, 41, 42);
    expect(cache.tokens).to.equal(42);
    cache.dispose();
  });

  it('reports that it cannot be truncated, and is empty after reset()', async () => {
    const cache = new KVCache(model, perDepth([onlineSvd({rank: 4, updateFreq: 1}), failing(full(), 2)]));
    apply(cache, 0, 40);
    const fork = cache.fork();
    expect(() => apply(cache, 40, 41)).to.throw(RangeError);
    await rejection(cache.truncate(40), CacheStateError, /onlineSvd stores the first/);
    expect(() => apply(cache, 40, 41)).to.throw(CacheStateError);
    expect(apply(fork, 40, 41).length, 'a fork of before goes on').to.be.above(0);
    cache.reset();
    apply(cache, 0, 10);
    expect(cache.tokens).to.equal(10);
    cache.dispose();
    fork.dispose();
  });

  it('holds whole chunks after an aborted prompt, and continues with the same tokens', async () => {
    for (const policy of [full(), onlineSvd({rank: 4, updateFreq: 3})]) {
      const cache = new KVCache(model, policy);
      const controller = new AbortController();
      const apply = model.apply.bind(model);
      let steps = 0;
      model.apply = (...args) => {
        if (++steps === 3) setImmediate(() => controller.abort());
        return apply(...args);
      };
      const run = generate(model, ids, {cache, chunk: 16, tokens: 9, signal: controller.signal});
      await rejection(run.next(), DOMException, /abort/);
      model.apply = apply;
      expect(cache.tokens % 16).to.equal(0);
      expect(cache.tokens).to.be.within(1, ids.length - 1);
      const rest = ids.slice(cache.tokens);
      const again = await all(generate(model, rest, {cache, chunk: 16, tokens: 9}));
      const alone = new KVCache(model, policy);
      expect(again).to.deep.equal(await all(generate(model, ids, {cache: alone, chunk: 16, tokens: 9})));
      cache.dispose();
      alone.dispose();
    }
  });

  it('holds every token that was yielded before an abort, and can be saved', async () => {
    const policy = quantized({residual: 2, groupSize: 4});
    const cache = new KVCache(model, policy);
    const controller = new AbortController();
    const given: number[] = [];
    const run = async () => {
      for await (const id of generate(model, ids, {cache, tokens: 30, signal: controller.signal})) {
        given.push(id);
        if (given.length === 7) controller.abort();
      }
    };
    await rejection(run(), DOMException, /abort/);
    expect(cache.tokens).to.equal(ids.length + 7);
    const restored = await KVCache.restore(await cache.save(), model);
    const [goesOn, restoredGoesOn] = [cache, restored].map(past =>
      all(generate(model, [5], {cache: past, tokens: 9})),
    );
    expect(await restoredGoesOn).to.deep.equal(await goesOn);
    cache.dispose();
    restored.dispose();
  });

  it('keeps a depth unchanged if its new policy throws', async () => {
    const cache = new KVCache(model, full());
    apply(cache, 0, 40);
    const [{numTensors}, policy] = [tf.memory(), failing(float8(), 2)];
    await rejection(cache.setPlan(perDepth([policy, policy])), RangeError, /a fault of my own/);
    expect(cache.report().map(report => report.policy)).to.deep.equal(['failing', 'full']);
    expect(cache.report().map(report => report.tokensHeld)).to.deep.equal([40, 40]);
    await cache.setPlan(full());
    expect(tf.memory().numTensors, 'tensors left behind').to.equal(numTensors);
    apply(cache, 40, 41);
    const changing = cache.setPlan(quantized());
    apply(cache, 41, 42);
    await rejection(changing, CacheStateError, /changed while setPlan was running/);
    cache.dispose();
  });

  it('is unchanged by a store that fails, hangs or returns garbage', async () => {
    const cache = new KVCache(model);
    apply(cache, 0, 10);
    const before = await cache.save();
    const {numTensors} = tf.memory();
    const broken = byteStore({get: () => before.slice(9), set: () => Promise.reject(new Error('full'))});
    await rejection(broken.set('chat', await cache.save()), TransferError, /full/);
    await rejection(KVCache.restore((await broken.get('chat'))!, model), FormatError);
    expect(tf.memory().numTensors).to.equal(numTensors);
    expect(Buffer.compare(await cache.save(), before)).to.equal(0);
    cache.dispose();
  });
});

async function all(ids: AsyncGenerator<number>): Promise<number[]> {
  const given: number[] = [];
  for await (const id of ids) given.push(id);
  return given;
}
