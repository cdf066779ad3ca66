import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../base/errors.js';
import {KVCache} from '../../cache/kv_cache.js';
import {type PolicyLike, asPolicy} from '../../cache/policies/as_policy.js';
import {uniform} from '../../cache/plans/index.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose} from '../support/tensors.js';

const shape = {depth: 0, heads: 4, kvHeads: 2, dim: 16, dimV: 16};

function fresh(tokens: number, seed: number) {
  const make = (heads: number, of: number) =>
    tf.randomNormal<tf.Rank.R4>([1, heads, tokens, 16], 0, 2, 'float32', 3 * seed + of + 1);
  return {queries: make(4, 0), keys: make(2, 1), values: make(2, 2)};
}

const newCache = (plan: PolicyLike) => new KVCache([shape], uniform(asPolicy(plan)));

/** Takes random tokens in, the same ones at the same positions. */
function run(cache: KVCache, chunks: readonly number[]): tf.Tensor4D {
  return tf.tidy(() => {
    const outputs = chunks.map(tokens => cache.attend(0, fresh(tokens, cache.tokens)));
    return tf.concat(outputs, 2);
  });
}

const ones = (count: number) => Array.from({length: count}, () => 1);

describeOnBackends('policies that leave values unread', backend => {
  const isWasm = backend === 'wasm';

  it('attend as without, if next to nothing may be left out', async () => {
    const chunks = [70, ...ones(20), 2, 40, ...ones(20)];
    for (const [plain, skipping] of [
      ['full', 'full:skipValues=1e-6'],
      ['quantized:groupSize=16', 'quantized:groupSize=16,skipValues=1e-6'],
      ['float8', 'float8:skipValues=1e-6'],
    ] as const) {
      const caches = [newCache(plain), newCache(skipping)] as const;
      const [expected, output] = caches.map(cache => run(cache, chunks)) as [tf.Tensor4D, tf.Tensor4D];
      await expectClose(output, expected, 2e-5);
      expect(caches[0].report()[0]!.unreadValues).to.equal(undefined);
      tf.dispose([expected, output]);
      caches.forEach(cache => cache.dispose());
    }
  });

  it('report what was left unread, only of steps that could', () => {
    const cache = newCache('full:skipValues=0.1');
    run(cache, [300]).dispose();
    expect(cache.report()[0]!.unreadValues).to.equal(undefined);
    run(cache, ones(30)).dispose();
    const {unreadValues} = cache.report()[0]!;
    if (isWasm) expect(unreadValues).to.be.within(0.1, 1);
    else expect(unreadValues).to.equal(undefined);
    const fork = cache.fork();
    expect(fork.report()[0]!.unreadValues, 'a fork goes on counting').to.equal(unreadValues);
    fork.dispose();
    cache.dispose();
  });

  it('change without storing tokens again', async () => {
    const cache = newCache('quantized:bits=4,groupSize=16');
    run(cache, [70]).dispose();
    const {stored} = cache.past(0)!.held;
    const [change] = await cache.setPlan('quantized:bits=4,groupSize=16,skipValues=0.1');
    expect(change).to.deep.include({depth: 0, carriedTokens: 70, evictedTokens: 0});
    expect(cache.past(0)!.held['stored']).to.equal(stored);
    expect(cache.policy(0)!.skipValues).to.equal(0.1);
    cache.dispose();
  });

  it('say what is not allowed', () => {
    for (const [policy, message] of [
      ['full:skipValues=2', /skipValues = 2; expected a number from 0 to 1/],
      ['quantized:skipValues=-1', /skipValues = -1; expected a number from 0 to 1/],
      ['full:skip=1', /full has no option "skip"; it has skipValues/],
    ] as const) {
      expect(() => asPolicy(policy), policy).to.throw(InvalidArgumentError, message);
    }
  });
});
