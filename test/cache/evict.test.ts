import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {type Eviction, evict} from '../../cache/past/evict.js';
import {KVCache, type Policy, mechanics, uniformShapes} from '../../cache/index.js';
import {type Past, noEvents} from '../../cache/past/past.js';
import {dense, earlyTokens} from '../../cache/past/segments.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {describeOnBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';

describeOnBackends('evict', () => {
  it('keeps the sinks, the newest and the best of the rest, whatever their scores', () => {
    fc.assert(
      fc.property(
        fc.integer({min: 1, max: 400}),
        fc.integer({min: 1, max: 30}),
        fc.integer({min: 0, max: 6}),
        fc.integer({min: 1, max: 20}),
        fc.integer(),
        (budget, recentBudget, sinks, over, seed) => {
          const tokens = budget + recentBudget + over;
          const scores = randomFloats(seed, tokens).map(Math.abs);
          tf.tidy(() => {
            const past = evict(pastOf(scores), {budget, recentBudget, sinks, worth: score => score});
            const newest = past.recent.tokens;
            expect(newest, 'newest').to.equal(recentBudget);
            expect(past.recent.positions).to.equal(tokens - recentBudget);
            const heavy = past.held['heavy']!;
            expect(heavy.tokens).to.equal(budget - earlyTokens(budget));
            const worth = (position: number) => (position < sinks ? Infinity : scores[position]!);
            const best = Array.from({length: tokens - recentBudget}, (_, position) => position)
              .sort((a, b) => (worth(a) === worth(b) ? a - b : worth(b) - worth(a)))
              .slice(0, heavy.tokens);
            const positions = [...(heavy.positions as tf.Tensor4D).dataSync()];
            expect(ascending(positions)).to.deep.equal(ascending(best));
            expect([...decodeEncoding(heavy.keys, 0, heavy.tokens).dataSync()]).to.deep.equal(positions);
            expect(past.events.evictedTokens).to.equal(tokens - recentBudget - heavy.tokens);
          });
        },
      ),
      {numRuns: 300}, // tfjs' TopK errs in about one of a hundred calls that hold two infinities
    );
  });
});

describe('a policy made of mechanics', () => {
  before(() => useBackend('wasm'));

  /** Keeps what has short keys (Devoto et al., 2024, arXiv 2406.11430): as docs/guides/writing_a_policy.md has it. */
  const lowNorm: Policy = {
    name: 'lowNorm',
    options: {},
    tokenBudget: 12,
    compress: past =>
      mechanics.evict(past, {
        budget: 8,
        recentBudget: 4,
        sinks: 0,
        worth: (_scores, _positions, keys) => tf.neg(tf.sum(tf.square(keys), -1, true)),
      }),
  };

  it('needs no observation to choose by keys', async () => {
    const [tokens, dim] = [40, 4];
    const keys = randomFloats(5, tokens * dim);
    const cache = new KVCache(uniformShapes({depths: 1, heads: 1, headDim: dim}), lowNorm);
    const kept: number[] = [];
    const norm = (position: number) =>
      keys.slice(position * dim, (position + 1) * dim).reduce((sum, x) => sum + x * x, 0);
    for (let token = 0; token < tokens; token++) {
      tf.tidy(() => {
        const row = tf.tensor4d(keys.slice(token * dim, (token + 1) * dim), [1, 1, 1, dim]);
        cache.attend(0, {queries: row, keys: row, values: row});
      });
      kept.push(token);
      if (kept.length > 12) {
        const old = kept.slice(0, -4).sort((a, b) => norm(a) - norm(b));
        kept.splice(0, kept.length - 4, ...old.slice(0, 8).sort((a, b) => a - b));
      }
      expect(cache.report()[0]!.tokensHeld).to.equal(kept.length);
    }
    const heavy = cache.past(0)!.held['heavy']!;
    expect(heavy.scores).to.equal(undefined);
    const positions = await (heavy.positions as tf.Tensor4D).data();
    expect(ascending([...positions])).to.deep.equal(kept.slice(0, -4));
    cache.dispose();
  });
});

describe('evict', () => {
  it('refuses budgets that are none, before and after there is something to evict', () => {
    const right = {budget: 8, recentBudget: 4, sinks: 2};
    const wrong: [object, RegExp][] = [
      [{budget: '8'}, /evict: budget = "8"; expected a whole number >= 1/],
      [{budget: 0}, /evict: budget = 0; expected a whole number >= 1/],
      [{budget: 1.5}, /evict: budget = 1\.5; expected a whole number >= 1/],
      [{recentBudget: NaN}, /evict: recentBudget = NaN; expected a whole number >= 0/],
      [{sinks: undefined}, /evict: sinks = undefined; expected a whole number >= 0/],
    ];
    for (const [change, message] of wrong) {
      for (const tokens of [4, 40]) {
        const given = {...right, ...change, worth: (score: tf.Tensor) => score} as Eviction;
        tf.tidy(() => {
          const past = pastOf(randomFloats(1, tokens));
          expect(() => evict(past, given)).to.throw(InvalidArgumentError, message);
        });
      }
    }
  });
});

/** One head whose keys and values are the tokens' positions. */
function pastOf(scores: Float32Array): Past {
  const tokens = scores.length;
  const data = tf.reshape<tf.Rank.R4>(tf.range(0, tokens), [1, 1, tokens, 1]);
  const recent = {keys: dense(data), values: dense(data), tokens, positions: 0};
  return {
    held: {},
    recent: {...recent, scores: tf.tensor4d(scores, [1, 1, tokens, 1])},
    tokensSeen: tokens,
    events: noEvents,
  };
}

const ascending = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);
