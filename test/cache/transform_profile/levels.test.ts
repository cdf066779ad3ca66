import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {CacheStateError, InvalidArgumentError} from '../../../base/errors.js';
import {
  KVCache,
  type Keeper,
  asPolicy,
  h2o,
  keepers,
  mixed,
  policy,
  transform,
  uniformShapes,
} from '../../../cache/index.js';
import {finerSegments, type Past, pastBytes, tokensHeld} from '../../../cache/past/past.js';
import {positionsOf} from '../../../cache/past/segments.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {decodeEncoding} from '../../../ops/encodings/decode.js';
import type {LowRankEncoding, LloydMaxEncoding} from '../../../ops/encodings/encoding.js';
import {gatherRows} from '../../../ops/gather_tokens/index.js';
import {quantizeLloydMax} from '../../../ops/lloyd_max/index.js';
import {rejection} from '../../base/files/rejection.js';
import {randomProfileId} from '../../support/transform_profile.js';
import {throughJson} from '../variants.js';

const names = [...finerSegments.slice(0, 2), 'stored'];

describe('levels of bits', () => {
  const sizes = {depths: 2, heads: 4, kvHeads: 2, headDim: 16};
  const shapes = uniformShapes(sizes);
  const [batch, tokens] = [2, 400];
  const bits = '6/4/2';
  let profile: string;
  let text: {queries: tf.Tensor4D; keys: tf.Tensor4D; values: tf.Tensor4D};
  before(async () => {
    await useBackend('wasm');
    profile = randomProfileId({depths: 2, kvHeads: 2, dim: 16});
    const random = (heads: number, seed: number) =>
      tf.randomNormal<tf.Rank.R4>([batch, heads, tokens, 16], 0, 1, 'float32', seed);
    text = {queries: random(4, 1), keys: random(2, 2), values: random(2, 3)};
  });
  after(() => tf.dispose(text));

  function take(cache: KVCache, from: number, count: number, which?: number): Float32Array {
    return tf.tidy(() => {
      const cut = (x: tf.Tensor4D) =>
        tf.slice(x, [which ?? 0, 0, from, 0], [which === undefined ? -1 : 1, -1, count, -1]);
      const fresh = {queries: cut(text.queries), keys: cut(text.keys), values: cut(text.values)};
      return [0, 1].map(depth => cache.attend(depth, fresh).dataSync<'float32'>().slice())[0]!;
    });
  }

  /** The positions of each level, by text and head. */
  function positionsOfLevels({held}: Past): number[][][] {
    return names.map(name =>
      tf.tidy(() => {
        const segment = held[name];
        if (segment === undefined) return [];
        const numbers = [...positionsOf(segment).dataSync()];
        const heads = numbers.length / segment.tokens;
        return Array.from({length: heads}, (_, head) =>
          numbers.slice(head * segment.tokens, (head + 1) * segment.tokens),
        );
      }),
    );
  }

  /** What the tensors of all levels take, for each text. */
  function bytesOfLevels({held, ...rest}: Past): number {
    const levels = names.flatMap(name => (held[name] === undefined ? [] : [[name, held[name]] as const]));
    return (pastBytes({...rest, held: Object.fromEntries(levels)}) - pastBytes({...rest, held: {}})) / batch;
  }

  it('fall before any token goes, only ever down, and keep the budget after every step', () => {
    const budget = 9000;
    const rule = mixed({budget: `${budget}B`, bits, near: 32, profile});
    for (const steps of [Array.from({length: tokens}, () => 1), [37, 200, 3, 100, 60]]) {
      using cache = new KVCache(shapes, rule);
      const levelOf = [0, 1].map(() => new Map<string, number>());
      const first: {finer?: number; stored?: number; evicted?: number} = {};
      let seen = 0;
      for (const count of steps) {
        take(cache, seen, count);
        seen += count;
        const held = [0, 1].map(depth => cache.past(depth)!);
        expect(bytesOfLevels(held[0]!) + bytesOfLevels(held[1]!)).to.be.at.most(2 * budget);
        for (const [depth, past] of held.entries()) {
          const places = new Set<string>();
          positionsOfLevels(past).forEach((heads, level) => {
            heads.forEach((positions, head) => {
              for (const position of positions) {
                const place = `${head} ${position}`;
                expect(places.has(place), 'each token once').to.equal(false);
                places.add(place);
                expect(levelOf[depth]!.get(place) ?? 0, 'never more bits').to.be.at.most(level);
                levelOf[depth]!.set(place, level);
              }
            });
          });
          const newest = past.recent.positions - 1;
          if (newest >= 4 + 32) {
            for (let head = 0; head < batch * sizes.kvHeads; head++) {
              for (let near = 0; near < 32; near++) {
                expect(levelOf[depth]!.get(`${head} ${newest - near}`), 'the newest').to.equal(0);
              }
            }
          }
        }
        first.finer ??= held[0]!.held['finer'] && seen;
        first.stored ??= held[0]!.held['stored'] && seen;
        first.evicted ??= held[0]!.events.evictedTokens > 0 ? seen : undefined;
        if (held[0]!.events.evictedTokens > 0) {
          expect(held[0]!.held['finest']!.tokens).to.be.at.most(48);
          expect(held[0]!.held['finer']?.tokens ?? 0).to.be.at.most(16);
        }
      }
      if (steps.length < 10) continue;
      expect(first.finer).to.be.below(first.stored!);
      expect(first.stored).to.be.below(first.evicted!);
      expect(first.evicted).to.be.below(tokens);
    }
  });

  /** Scores that say which positions matter: known, and the same for all heads. */
  const worth = (position: number) => (position * 7919) % 401;
  const known: Keeper = {
    name: 'known',
    options: {},
    budget: '9kB',
    score: ({positions}) => tf.mod(tf.mul(positions, 7919), 401),
  };

  it('go by the score: each level has better tokens than the next', () => {
    const store = transform({bits, profile}).store;
    for (const [budget, levels] of Object.entries({'22kB': 2, '16kB': 2, '10kB': 1})) {
      const keep = {...known, budget: budget as '1kB'};
      using cache = new KVCache(shapes, policy({sinks: 4, recent: 0, keep, store}));
      take(cache, 0, tokens);
      const worths = positionsOfLevels(cache.past(0)!)
        .filter(heads => heads.length > 0)
        .map(heads => heads[3]!.map(worth));
      expect(worths.length, budget).to.equal(levels);
      const held = new Set(worths.flat());
      const gone = Array.from({length: 384}, (_, i) => worth(4 + i)).filter(of => !held.has(of));
      for (const [level, of] of [...worths, gone].entries()) {
        if (level > 0 && of.length > 0) {
          expect(Math.min(...worths[level - 1]!), budget).to.be.above(Math.max(...of));
        }
      }
    }
  });

  it('code a token again from its codes, in the same channels', () => {
    const store = transform({bits: '6/3', profile}).store;
    const whole = new KVCache(shapes, policy({recent: 0, keep: {...known, budget: '1MB'}, store}));
    const within = new KVCache(shapes, policy({recent: 0, keep: {...known, budget: '18kB'}, store}));
    for (const cache of [whole, within]) take(cache, 0, tokens);
    tf.tidy(() => {
      const {finest} = whole.past(1)!.held;
      const {stored} = within.past(1)!.held;
      expect(finest!.tokens).to.equal(384);
      expect(within.past(1)!.events.evictedTokens).to.equal(0);
      const rows = Int32Array.from(positionsOf(stored!).dataSync(), position => position - 4);
      for (const side of ['keys', 'values'] as const) {
        const [from, to] = [finest, stored].map(
          of => (of![side] as LowRankEncoding).latents as LloydMaxEncoding,
        );
        const chosen = gatherRows(decodeEncoding(from!, 0, 384), rows);
        const again = decodeEncoding(quantizeLloydMax(chosen, to!.widths), 0, stored!.tokens);
        expect(decodeEncoding(to!, 0, stored!.tokens).dataSync()).to.deep.equal(again.dataSync());
      }
    });
    whole.dispose();
    within.dispose();
  });

  it('do not depend on the batch, and work without a profile', () => {
    for (const of of [profile, null]) {
      const rule = mixed({budget: of === null ? '14kB' : '7kB', bits, near: 16, profile: of});
      using both = new KVCache(shapes, rule, {onWarning: () => undefined});
      const alone = [0, 1].map(() => new KVCache(shapes, rule, {onWarning: () => undefined}));
      for (const [from, count] of [
        [0, 300] as const,
        ...Array.from({length: 60}, (_, i) => [300 + i, 1] as const),
      ]) {
        const together = take(both, from, count);
        const each = alone.flatMap((cache, which) => [...take(cache, from, count, which)]);
        together.forEach((x, i) => {
          if (Math.abs(x - each[i]!) > 1e-4) expect.fail(`${x} of two texts, ${each[i]!} of one`);
        });
      }
      expect(both.past(0)!.events.evictedTokens).to.be.above(0);
      alone.forEach(cache => {
        cache.dispose();
      });
    }
  });

  it('are truncated as long as they lie in order', async () => {
    const one = uniformShapes({depths: 1, heads: 4, kvHeads: 1, headDim: 16});
    const own = randomProfileId({depths: 1, kvHeads: 1, dim: 16});
    const feed = (cache: KVCache, from: number, count: number) =>
      tf.tidy(() => {
        const cut = (x: tf.Tensor4D, heads: number) => tf.slice(x, [0, 0, from, 0], [1, heads, count, -1]);
        const fresh = {queries: cut(text.queries, 4), keys: cut(text.keys, 1), values: cut(text.values, 1)};
        return cache.attend(0, fresh).dataSync<'float32'>().slice();
      });
    for (const keep of [keepers.window({budget: '5kB'}), {...known, budget: '5kB'} as const]) {
      const store = transform({bits: '6/2', profile: own}).store;
      using cache = new KVCache(one, policy({recent: 0, sinks: 4, keep, store}));
      feed(cache, 0, 200);
      expect(cache.past(0)!.events.evictedTokens).to.equal(0);
      const {finest, stored} = cache.past(0)!.held;
      expect(Math.min(finest!.tokens, stored!.tokens)).to.be.above(0);
      if (keep.name === 'known') {
        await rejection(
          cache.truncate(90),
          CacheStateError,
          /no segment has the first 90 tokens of the text in order/,
        );
        expect(cache.tokens).to.equal(200);
        continue;
      }
      await cache.truncate(90);
      expect(positionsOfLevels(cache.past(0)!).flatMap(heads => heads[0] ?? []).length).to.be.at.most(86);
      feed(cache, 90, 30);
      expect(cache.tokens).to.equal(120);
    }
  });

  it('change to and from other plans, and are not truncated once tokens went by their scores', async () => {
    using cache = new KVCache(shapes, mixed({budget: '9kB', bits, near: 16, profile}));
    take(cache, 0, 330);
    await rejection(cache.truncate(100), CacheStateError, /evicted/);
    await cache.setPlan(h2o({heavyBudget: 64, recentBudget: 32}));
    take(cache, 330, 10);
    await cache.setPlan(mixed({budget: '7kB', bits, profile}));
    const before = tokensHeld(cache.past(0)!);
    for (let at = 340; at < 400; at++) take(cache, at, 1);
    // all but a few exact ones that filled no tile have room in fewer bits
    expect(tokensHeld(cache.past(0)!)).to.be.at.least(before + 60 - 15);
    expect(bytesOfLevels(cache.past(0)!) + bytesOfLevels(cache.past(1)!)).to.be.at.most(14_000);
  });

  it('divide a budget among depths as the profile divides bits', () => {
    const rule = mixed({budget: '9kB', bits, profile});
    const shares = [0, 1].map(
      depth => rule.store.forModel?.(shapes, () => undefined).budgetShare?.(depth) ?? NaN,
    );
    expect(shares[0]! + shares[1]!).to.be.closeTo(2, 1e-9);
  });

  it('are JSON and text', () => {
    const rule = asPolicy('mixed:budget=64kB,bits=5/2.5');
    expect(rule.options).to.include({budget: '64kB', bits: '5/2.5', near: 64});
    const again = asPolicy(throughJson({name: rule.name, options: rule.options}));
    expect(again.options).to.deep.equal(rule.options);
    expect(again.store.options).to.deep.equal(rule.store.options);
    const other = asPolicy('transform:bits=5/3/2,near=32,keep=tova,budget=32kB');
    expect(other.keep).to.include({name: 'tova', budget: '32kB'});
    expect(other.store.options).to.include({bits: '5/3/2', near: 32});
  });

  it('refuse bits that do not fall, budgets in tokens, and budgets without room', () => {
    for (const wrong of ['2/4', '4', '4/4', '9/4', '4/0', '5/4/3/2/1', '4//2', 'many']) {
      expect(() => transform({bits: wrong as never}), wrong).to.throw(
        InvalidArgumentError,
        /bits = .*; expected a number above 0, at most 8, or two to four such numbers that fall, such as "4.5\/2.3\/0.8"/,
      );
    }
    for (const budget of [256, '0kB']) {
      expect(() => mixed({budget: budget as '1kB'})).to.throw(
        InvalidArgumentError,
        /budget = (?:256|"0kB"); expected bytes/,
      );
    }
    const of = (keep: Keeper) => new KVCache(shapes, transform({bits, profile, keep}));
    expect(() => of(keepers.all())).to.throw(
      InvalidArgumentError,
      /the budget of this keeper is not given; give bytes/,
    );
    expect(() => of(keepers.heaviest({budget: 256}))).to.throw(
      InvalidArgumentError,
      /is 256 tokens; give bytes/,
    );
    let least = '';
    try {
      new KVCache(shapes, mixed({budget: '600B', bits, profile})).dispose();
    } catch (error) {
      expect(error).to.be.instanceOf(InvalidArgumentError);
      least = /the least is "(\d+B)"/.exec(String(error))![1]!;
    }
    new KVCache(shapes, mixed({budget: least as '1B', bits, profile})).dispose();
  });
});
