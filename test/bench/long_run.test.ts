import type {Policy} from '../../cache/contract.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {endure} from '../../bench/support/endurance.js';
import {evictionRuleOf} from '../../bench/support/eviction_rule.js';
import {KeeperReplay} from '../../bench/support/keeper_replay.js';
import {ScoreReplay} from '../../bench/support/score_replay.js';
import {TokenLog} from '../../bench/support/token_log.js';
import {KVCache, makePolicy, tokenBudget} from '../../cache/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {shippedPolicies} from '../cache/variants.js';
import {tinyModel} from '../support/tiny_model.js';

// The short version of `npm run bench:long_run`: a tiny model, small budgets.

const small: Readonly<Record<string, Record<string, number>>> = {
  h2o: {heavyBudget: 20, recentBudget: 20},
  lfu: {maxCacheSize: 40},
  lru: {maxCacheSize: 40},
  sliding: {window: 36},
};
/** Keepers that are no presets. */
const ofKeepers: Readonly<Record<string, Record<string, number>>> = {
  tova: {budget: 24, recent: 4},
  snapKv: {budget: 24, recent: 8, queries: 8},
  dropKv: {budget: 24, recent: 8, queries: 8},
  keyDiff: {budget: 24, recent: 8},
  expectedAttention: {budget: 24, recent: 8, queries: 8, ahead: 16},
};
const prompt = [5, 9, 30, 31];

describe('a long run', () => {
  let model: tf.LayersModel;
  before(async () => {
    await useBackend('wasm');
    model = tinyModel();
  });
  after(() => model.dispose());

  it('is short here for every policy that has a budget', () => {
    const bounded = shippedPolicies().filter(name => tokenBudget(makePolicy({name})) !== undefined);
    expect(bounded.filter(name => !(name in small))).to.deep.equal([]);
  });

  for (const [name, options] of Object.entries({...small, ...ofKeepers})) {
    it(`leaves ${name} flat, in its budget and without drift`, async () => {
      const policy = makePolicy({name, options});
      const report = await endure(model, {policy, tokens: 300, prompt, checkpoints: 3});
      expect(report.faults).to.deep.equal([]);
      expect(report.checkpoints.map(({tokens}) => tokens)).to.deep.equal([100, 200, 300]);
      expect(report.worstDrift.keys).to.be.below(5e-7);
      expect(report.checkpoints.at(-1)!.drift.tokens).to.be.above(100); // two depths of two key heads
      if (name === 'sliding') return; // does not go by attention
      expect(report.scores!.scores).to.be.above(300);
      expect(report.scores!.evictedTokens).to.be.above(4 * 250);
      expect(report.scores!.closeCalls).to.be.below(report.scores!.evictedTokens / 100);
      expect(report.scores!.worst).to.be.below(1e-5);
    });
  }

  it('finds tokens that another keeper would have kept', async () => {
    for (const name of Object.keys(ofKeepers)) {
      const other = name === 'keyDiff' ? 'tova' : 'keyDiff';
      const cache = new KVCache(model, makePolicy({name: other, options: {...ofKeepers[other]}}));
      const replay = new KeeperReplay(cache, {
        ...makePolicy({name, options: ofKeepers[name]!}),
        sinks: 4,
      });
      for (let at = 0; at < 60; at++) {
        tf.tidy(() => void model.apply(tf.tensor2d([(7 * at) % 90], [1, 1], 'int32'), {cache: replay}));
      }
      expect((await replay.compare()).faults.join(), name).to.include('stayed');
      cache.dispose();
    }
  });

  it('finds memory that grows', async () => {
    const report = await endure(model, {
      policy: makePolicy({name: 'full'}),
      tokens: 300,
      prompt,
      checkpoints: 3,
    });
    expect(report.faults.join()).to.match(/bytes spread/);
  });

  it('finds a value, a key or a position that is not what came in', async () => {
    for (const part of ['values', 'keys', 'positions'] as const) {
      const cache = new KVCache(model, makePolicy({name: 'sliding', options: {window: 10}}));
      const log = new TokenLog(cache);
      const ids = tf.tensor2d([1, 2, 3, 4, 5, 6], [1, 6], 'int32');
      tf.tidy(() => void model.apply(ids, {cache: log}));
      expect((await log.compare()).values).to.equal(0);
      const {recent} = cache.past(1)!;
      if (part === 'positions') Object.assign(recent, {positions: 1});
      else {
        const {data} = recent[part];
        const changed = data.dataSync<'float32'>();
        changed[7]! += 0.01; // the wasm backend gives a copy
        Object.assign(recent[part], {data: tf.tensor4d(changed, data.shape)});
      }
      const drift = await log.compare().catch(() => undefined);
      expect(drift === undefined || drift.values + drift.keys > 1e-4, part).to.be.true;
      cache.dispose();
    }
  });

  for (const name of ['h2o', 'lfu', 'lru']) {
    it(`finds a wrong score of ${name}`, async () => {
      const {cache, replay, generate} = replayed(makePolicy({name, options: small[name]!}));
      generate(70);
      expect((await replay.compare()).faults).to.deep.equal([]);
      const {scores} = cache.past(1)!.held['stored']!;
      const changed = scores!.dataSync<'float32'>(); // the wasm backend gives a copy
      changed[3]! += name === 'h2o' ? 1e-3 : 1;
      Object.assign(cache.past(1)!.held['stored']!, {scores: tf.tensor4d(changed, scores!.shape)});
      expect((await replay.compare()).faults)
        .to.have.length(1)
        .and.match(/depth 1, head 0, position \d+: the score/);
      cache.dispose();
    });

    it(`finds one wrong eviction of ${name}`, async () => {
      const policy = makePolicy({name, options: small[name]!});
      let evictions = 0;
      const wrong: Policy = {
        ...policy,
        keep: {
          ...policy.keep,
          // depths take turns; the third time at depth 0, those that are worth most go
          score: candidates => {
            const score = policy.keep.score!(candidates);
            return ++evictions === 5 ? tf.neg(score) : score;
          },
        },
      };
      const {cache, replay, generate} = replayed(wrong);
      generate(70);
      expect((await replay.compare()).faults[0]).to.match(/depth 0, head 0, token \d+: position \d+ went/);
      cache.dispose();
    });
  }

  /** A cache behind a replay, and what feeds it. */
  function replayed(policy: Policy) {
    const cache = new KVCache(model, policy);
    const replay = new ScoreReplay(cache, evictionRuleOf(policy)!);
    const generate = (tokens: number) => {
      for (let i = 0; i < tokens; i++) {
        const ids = tf.tensor2d([(7 * i) % 90], [1, 1], 'int32');
        tf.tidy(() => void model.apply(ids, {cache: replay}));
        ids.dispose();
      }
    };
    return {cache, replay, generate};
  }
});
