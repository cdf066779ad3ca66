import type {Policy} from '../../../cache/contract.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../../cache/kv_cache.js';
import {
  adaptive,
  full,
  h2o,
  layered,
  lfu,
  lru,
  onlineSvd,
  quantized,
  sliding,
} from '../../../cache/policies/index.js';
import {compressPrompt} from '../../../cache/prompt/compress_prompt.js';
import {PrefixCache} from '../../../cache/sharing/prefix_cache.js';
import {generate} from '../../../models/generate/generate.js';
import type {GenerateIdsOptions} from '../../../models/generate/options.js';
import {kvzip} from '../../../models/prompt/kvzip.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {rejection} from '../../base/files/rejection.js';
import {describeOnBackends} from '../../support/backends.js';
import {expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';

const idsOf = (length: number, seed: number) =>
  Array.from({length}, (_, i) => 2 + ((i * i + seed * i + seed) % 95));

const body = () => {
  let model: tf.LayersModel;
  before(() => {
    model = tinyModel(5);
  });
  after(() => model.dispose());

  /** The tokens that follow a prompt, and how many tokens of it went through the model. */
  async function run(ids: readonly number[], policy: Policy | undefined, options: GenerateIdsOptions = {}) {
    const apply = model.apply.bind(model);
    let computed = 0;
    model.apply = (...args) => {
      computed += (args[0] as tf.Tensor).shape[1]!;
      return apply(...args);
    };
    const cache = policy && new KVCache(model, policy);
    const given: number[] = [];
    try {
      const settings = {tokens: 8, chunk: 8, ...options, cache};
      for await (const id of generate(model, ids, settings)) given.push(id);
    } finally {
      model.apply = apply;
      cache?.dispose();
    }
    return {given, prefilled: computed - (cache ? given.length : given.length - 1)};
  }

  const beginning = idsOf(70, 1);
  const prompts = [
    [...beginning, ...idsOf(13, 2)],
    [...beginning, ...idsOf(40, 3)],
    [...beginning.slice(0, 40), ...idsOf(9, 4)],
    idsOf(50, 6),
  ];

  const policies: Record<string, Policy | undefined> = {
    'none given': undefined,
    full: full(),
    quantized: quantized({residual: 4, groupSize: 4}),
    onlineSvd: onlineSvd({rank: 4, updateFreq: 5}),
    h2o: h2o({heavyBudget: 12, recentBudget: 8}),
    lru: lru({maxCacheSize: 20}),
    lfu: lfu({maxCacheSize: 20}),
    sliding: sliding({window: 16}),
    layered: layered({shortTermSize: 8, longTermBits: 4}),
    adaptive: adaptive({residual: 4, groupSize: 4}),
  };
  for (const [name, policy] of Object.entries(policies)) {
    it(`are not computed again, and the tokens are the same (${name})`, async () => {
      const prefixes = new PrefixCache({chunkTokens: 16});
      const skipped: number[] = [];
      for (const ids of prompts) {
        const {given, prefilled} = await run(ids, policy, {prefixes});
        expect(given).to.deep.equal((await run(ids, policy)).given);
        skipped.push(ids.length - prefilled);
      }
      expect(skipped).to.deep.equal([0, 64, 32, 0]);
      prefixes.clear();
    });
  }

  it('leave the last token of a prompt to be computed', async () => {
    const prefixes = new PrefixCache({chunkTokens: 16});
    const ids = idsOf(48, 1);
    for (const expected of [48, 16, 16]) {
      const {given, prefilled} = await run(ids, full(), {prefixes});
      expect(prefilled).to.equal(expected);
      expect(given).to.deep.equal((await run(ids, full())).given);
    }
    prefixes.clear();
  });

  it('belong to a model, a plan and a step', async () => {
    const prefixes = new PrefixCache({chunkTokens: 16});
    const ids = idsOf(50, 1);
    await run(ids, quantized(), {prefixes});
    const prefilled = async (policy: Policy, chunk: number) =>
      (await run(ids, policy, {prefixes, chunk})).prefilled;
    expect(await prefilled(quantized(), 8)).to.equal(2);
    expect(await prefilled(quantized({bits: 4}), 8)).to.equal(50);
    expect(await prefilled(quantized(), 4)).to.equal(50);
    const other = tinyModel(6);
    const cache = new KVCache(other, quantized());
    expect(await prefixes.resume(cache, ids, 8)).to.equal(0);
    other.dispose();
    prefixes.clear();
  });

  it('are not used where a cache holds tokens', async () => {
    const prefixes = new PrefixCache({chunkTokens: 16});
    const ids = idsOf(50, 1);
    await run(ids, full(), {prefixes});
    const cache = new KVCache(model, full());
    const continued = async (options: GenerateIdsOptions) => {
      cache.reset();
      const begun = generate(model, [5, 6, 7], {cache, tokens: 1});
      await begun.next();
      await begun.return();
      await cache.truncate(3);
      const given: number[] = [];
      for await (const id of generate(model, ids, {cache, tokens: 5, ...options})) given.push(id);
      return given;
    };
    expect(await continued({prefixes})).to.deep.equal(await continued({}));
    cache.dispose();
    prefixes.clear();
  });

  it('take no more than maxBytes; the least recently used one goes', async () => {
    const [a, b, c] = [1, 2, 3].map(seed => idsOf(40, seed)) as [number[], number[], number[]];
    const measured = new PrefixCache({chunkTokens: 16});
    await run(a, full(), {prefixes: measured});
    const one = measured.byteSize;
    expect(one).to.be.at.least(32 * 2 * 2 * 16 * 4);
    measured.clear();
    expect(measured.byteSize).to.equal(0);

    const prefixes = new PrefixCache({chunkTokens: 16, maxBytes: Math.floor(2.5 * one)});
    const prefilled = async (ids: number[]) => (await run(ids, full(), {prefixes})).prefilled;
    expect([await prefilled(a), await prefilled(b), await prefilled(a)]).to.deep.equal([40, 40, 8]);
    expect(await prefilled(c)).to.equal(40); // b goes
    expect(prefixes.byteSize).to.be.at.most(2.5 * one);
    expect([await prefilled(a), await prefilled(c), await prefilled(b)]).to.deep.equal([8, 8, 40]);
    prefixes.clear();

    const small = new PrefixCache({chunkTokens: 16, maxBytes: 1});
    await run(a, full(), {prefixes: small});
    expect(small.byteSize).to.equal(0);
  });

  it('one state serves every beginning of a text whose tokens are all exact', async () => {
    const prefixes = new PrefixCache({chunkTokens: 16});
    const ids = idsOf(100, 1);
    await run(ids, full(), {prefixes});
    const whole = new KVCache(model, full());
    tf.tidy(() => void model.apply(tf.tensor2d(ids.slice(0, 96), [1, 96], 'int32'), {cache: whole}));
    expect(prefixes.byteSize).to.be.at.most(1.2 * whole.byteSize);
    expect((await run([...ids.slice(0, 20), 7, 8], full(), {prefixes})).prefilled).to.equal(6);
    whole.dispose();
    prefixes.clear();
  });

  it('serve whole texts', async () => {
    const prefixes = new PrefixCache({chunkTokens: 8});
    const textOf = async (prompt: string) => {
      let text = '';
      for await (const part of generate({model, tokenizer: characterTokenizer}, prompt, {
        prefixes,
        tokens: 12,
      }))
        text += part;
      return text;
    };
    const first = await textOf('Once upon a time there was');
    expect(await textOf('Once upon a time there was')).to.equal(first);
    prefixes.clear();
  });

  it('leave no tensor behind once they are cleared', () =>
    expectNoLeak(async () => {
      const prefixes = new PrefixCache({chunkTokens: 16});
      for (const policy of [full(), quantized({residual: 4, groupSize: 4})]) {
        for (const ids of prompts) await run(ids, policy, {prefixes});
      }
      prefixes.clear();
    }));

  it('are refused what is no cache, as are functions over caches', async () => {
    const prefixes = new PrefixCache();
    for (const given of [null, undefined, {tokens: 1}, 'full']) {
      const none = given as unknown as KVCache;
      const message = /was given for a cache; expected a KVCache/;
      expect(() => prefixes.remember(none, [1], 1)).to.throw(InvalidArgumentError, message);
      await rejection(prefixes.resume(none, [1, 2], 1), InvalidArgumentError, message);
      await rejection(compressPrompt(none, 'keyDiff', 0.5), InvalidArgumentError, message);
      await rejection(kvzip(model, none, [1, 2], 0.5), InvalidArgumentError, message);
    }
  });

  it('are refused options that mean nothing', () => {
    expect(() => new PrefixCache({maxBytes: 0})).to.throw(InvalidArgumentError, /maxBytes = 0/);
    expect(() => new PrefixCache({chunkTokens: 1.5})).to.throw(InvalidArgumentError, /chunkTokens = 1.5/);
  });
};

describeOnBackends('beginnings of prompts that are known', body, ['wasm']);
