import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import type {Keeper} from '../../cache/contract.js';
import {type Past, noEvents} from '../../cache/past/past.js';
import {earlyTokens, evict} from '../../cache/past/evict.js';
import {bytesPerToken} from '../../cache/keepers/budget.js';
import {dense} from '../../cache/past/segments.js';
import {KVCache, asKeeper, keepers, policy, uniformShapes} from '../../cache/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {encodingBytes} from '../../ops/encodings/encoding.js';
import {describeOnBackends} from '../support/backends.js';
import {oneOfEach} from '../support/encodings.js';
import {randomFloats} from '../support/random.js';

const {heaviest, window: windowKeeper} = keepers;

const context = {depth: 0, depths: 1, scale: 1};

describeOnBackends('evict', () => {
  it('keeps the sinks, the newest and the best of the rest, whatever their scores', () => {
    fc.assert(
      fc.property(
        fc.integer({min: 1, max: 400}),
        fc.integer({min: 1, max: 30}),
        fc.integer({min: 0, max: 6}),
        fc.integer({min: 1, max: 20}),
        fc.integer(),
        (between, recent, sinks, over, seed) => {
          const budget = between + sinks; // exact tokens: the first ones are among the candidates
          const tokens = budget + recent + over;
          const scores = randomFloats(seed, tokens).map(Math.abs);
          tf.tidy(() => {
            const rule = policy({sinks, recent, keep: heaviest({budget: between, normalize: false})});
            const past = evict(rule, pastOf(scores), context);
            const newest = past.recent.tokens;
            expect(newest, 'newest').to.equal(recent);
            expect(past.recent.positions).to.equal(tokens - recent);
            const stored = past.held['stored']!;
            expect(stored.tokens).to.equal(budget - earlyTokens(budget));
            const worth = (position: number) => (position < sinks ? Infinity : scores[position]!);
            const best = Array.from({length: tokens - recent}, (_, position) => position)
              .sort((a, b) => (worth(a) === worth(b) ? a - b : worth(b) - worth(a)))
              .slice(0, stored.tokens);
            const positions = [...(stored.positions as tf.Tensor4D).dataSync()];
            expect(ascending(positions)).to.deep.equal(ascending(best));
            expect([...decodeEncoding(stored.keys, 0, stored.tokens).dataSync()]).to.deep.equal(positions);
            expect(past.events.evictedTokens).to.equal(tokens - recent - stored.tokens);
          });
        },
      ),
      {numRuns: 300}, // tfjs' TopK errs in about one of a hundred calls that hold two infinities
    );
  });
});

describe("a user's keeper", () => {
  before(() => useBackend('wasm'));

  /** Keeps what has short keys (Devoto et al., 2024, arXiv 2406.11430). */
  const lowNorm: Keeper = {
    name: 'lowNorm',
    options: {},
    budget: 8,
    score: ({keys}) => tf.neg(tf.sum(tf.square(keys()), -1, true)),
  };

  for (const store of ['dense', 'float8'] as const) {
    it(`needs no observation to choose by keys (${store})`, async () => {
      const [tokens, dim] = [40, 4];
      const keys = randomFloats(5, tokens * dim);
      const shapes = uniformShapes({depths: 1, heads: 1, headDim: dim});
      const cache = new KVCache(shapes, policy({sinks: 0, recent: 4, keep: lowNorm, store}));
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
      const {stored} = cache.past(0)!.held;
      expect(stored!.scores).to.equal(undefined);
      const positions = await (stored!.positions as tf.Tensor4D).data();
      expect(ascending([...positions])).to.deep.equal(kept.slice(0, -4));
      cache.dispose();
    });
  }

  it('may have a budget in bytes, which holds whatever the codec', () => {
    const shapes = uniformShapes({depths: 1, heads: 2, headDim: 16});
    const text = tf.randomNormal<tf.Rank.R4>([1, 2, 90, 16], 0, 1, 'float32', 3);
    const held: number[] = [];
    for (const store of [
      'dense',
      'float8',
      {bits: 4},
      {bits: 4, groupAxis: 'channel', groupSize: 4},
    ] as const) {
      const cache = new KVCache(shapes, policy({recent: 8, keep: heaviest({budget: '4kB'}), store}));
      for (let token = 0; token < 90; token++) {
        tf.tidy(() => {
          const row = tf.slice(text, [0, 0, token, 0], [-1, -1, 1, -1]);
          cache.attend(0, {queries: row, keys: row, values: row});
        });
        const past = cache.past(0)!;
        const bytes = [...Object.values(past.held)]
          .filter(segment => segment !== past.held['sinks'])
          .reduce((sum, {keys, values, positions, scores}) => {
            const tensors = [keys, values].flatMap(side =>
              Object.values(side).filter(x => x instanceof tf.Tensor),
            );
            const others = [positions, scores].filter(x => x instanceof tf.Tensor);
            return sum + [...tensors, ...others].reduce((size, tensor) => size + 4 * tensor.size, 0);
          }, 0);
        // exact first tokens lie among the kept ones
        expect(bytes, `${JSON.stringify(store)}, token ${token}`).to.be.at.most(
          4000 + (store === 'dense' ? 4 * 2 * 34 * 4 : 0),
        );
      }
      held.push(cache.report()[0]!.tokensHeld);
      cache.dispose();
    }
    text.dispose();
    expect(held[1]).to.be.above(1.5 * held[0]!);
    expect(held[2]).to.be.at.least(held[1]!);
  });

  it('counts the bytes of heads that lie side by side', () => {
    tf.tidy(() => {
      const {lloydMax} = oneOfEach();
      const segment = {keys: lloydMax!, values: lloydMax!, tokens: 16, positions: 0};
      const ofTile = encodingBytes(lloydMax!) / 2; // of two texts
      // a position and a score for each of three heads
      expect(bytesPerToken(segment, {scored: true, biased: false})).to.deep.equal({
        perToken: (2 * ofTile) / 16 + 2 * 3 * 4,
        shared: 0,
      });
    });
  });

  it('is no keeper with options next to its name, which would score nothing', () => {
    for (const beside of [{queries: 16}, {budget: 5}, {refit: true}, {observes: {statistic: 'mass'}}]) {
      for (const name of ['snapKv', 'heaviest']) {
        for (const given of [
          {name, ...beside},
          {name, options: {}, ...beside},
        ]) {
          expect(() => asKeeper(given), JSON.stringify(given)).to.throw(
            InvalidArgumentError,
            `has "${Object.keys(beside)[0]}" next to its name; put options into "options"`,
          );
        }
      }
      expect(() => asKeeper({name: 'snapkv', ...beside})).to.throw('Did you mean "snapKv"?');
    }
    const own = {name: 'ownWindow', options: {}, budget: 5};
    for (const finished of [own, windowKeeper({budget: 5})]) expect(asKeeper(finished)).to.equal(finished);
  });

  it('is refused if it is not a keeper', () => {
    for (const given of [5, {}, {budget: 4}, 'heavy', {name: 'heavy'}]) {
      expect(() => asKeeper(given as string)).to.throw(InvalidArgumentError, /keep|heav/);
    }
    for (const budget of [0, 1.5, NaN, '8', '8 KB', '-1kB', '0kB', '0.0MiB', '0.5B', `${'9'.repeat(400)}B`]) {
      expect(() => heaviest({budget: budget as number})).to.throw(
        InvalidArgumentError,
        /heaviest: budget = .*whole number of tokens >= 1, or bytes such as "64kB"/,
      );
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
