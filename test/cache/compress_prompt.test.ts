import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {CacheStateError, InvalidArgumentError} from '../../base/errors.js';
import {
  type Keeper,
  type KeeperLike,
  KVCache,
  type PolicyLike,
  PrefixCache,
  type PromptSize,
  type StoreLike,
  asKeeper,
  compressPrompt,
  h2o,
  keeperNames,
  policy,
  registerKeeper,
  uniformShapes,
} from '../../cache/index.js';
import {segmentsOf, tokensHeld} from '../../cache/past/past.js';
import {sharedBudgets} from '../../cache/prompt/shared_budgets.js';
import {eigenAttention} from '../../layers/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {rejection} from '../base/files/rejection.js';
import {expectNoLeak} from '../support/tensors.js';
import {shipped} from './variants.js';

const {batch, heads, kvHeads, dim, depths} = {batch: 2, heads: 4, kvHeads: 2, dim: 16, depths: 2};
const shapes = uniformShapes({depths, heads, kvHeads, headDim: dim});
const tokens = 120;

describe('compressPrompt', () => {
  let text: {queries: tf.Tensor4D; keys: tf.Tensor4D; values: tf.Tensor4D};
  before(async () => {
    await useBackend('wasm');
    const random = (of: number, seed: number) =>
      tf.randomNormal<tf.Rank.R4>([batch, of, tokens + 10, dim], 0, 1.5, 'float32', seed);
    text = {queries: random(heads, 1), keys: random(kvHeads, 2), values: random(kvHeads, 3)};
  });
  after(() => tf.dispose(text));

  /** Some tokens through all depths; later depths have keys of other sizes, so that their scores differ. */
  const feed = (
    cache: KVCache,
    from: number,
    count: number,
    windows: readonly number[] = [],
  ): Float32Array[] =>
    Array.from({length: depths}, (_, depth) =>
      tf.tidy(() => {
        const cut = (x: tf.Tensor4D) => tf.slice(x, [0, 0, from, 0], [-1, -1, count, -1]);
        const fresh = {
          queries: cut(text.queries),
          keys: tf.mul<tf.Tensor4D>(cut(text.keys), 1 + depth),
          values: cut(text.values),
        };
        return cache
          .attend(depth, {...fresh, rope: {theta: 100}, window: windows[depth]})
          .dataSync<'float32'>()
          .slice();
      }),
    );

  const prefilled = (plan: PolicyLike): KVCache => {
    const cache = new KVCache(shapes, plan);
    feed(cache, 0, tokens);
    return cache;
  };

  const positions = (cache: KVCache, depth = 0): number[][] => {
    const rows = segmentsOf(cache.past(depth)!).map(({positions: at, tokens: count}) =>
      typeof at === 'number'
        ? Array.from({length: batch * kvHeads}, () => Array.from({length: count}, (_, i) => at + i))
        : (tf.tidy(() =>
            tf.reshape(tf.slice(at, [0, 0, 0, 0], [-1, -1, count, -1]), [-1, count]).arraySync(),
          ) as number[][]),
    );
    return Array.from({length: batch * kvHeads}, (_, head) =>
      rows.flatMap(ofHeads => ofHeads[head]!).sort((a, b) => a - b),
    );
  };

  const stores: Record<string, StoreLike> = {
    dense: 'dense',
    'integer, 4 bit': {bits: 4, groupSize: 8},
    'groups of tokens': {bits: 8, groupAxis: 'channel', groupSize: 4},
    'keys in groups of tokens': {keys: {bits: 8, groupAxis: 'channel', groupSize: 4}, values: 'float8'},
  };
  for (const name of shipped(keeperNames()).filter(each => each !== 'all')) {
    const variants = Object.entries(stores).flatMap(([stored, store]) =>
      [
        false,
        ...(stored === 'groups of tokens' ? [] : [true]),
        ...(stored === 'dense' ? ['leastSquares' as const] : []),
      ].map(refit => ({
        ...{stored: refit === false ? stored : `${stored}, refitted (${String(refit)})`, store, refit},
      })),
    );
    for (const {stored, store, refit} of variants) {
      it(`${name}, ${stored}: keeps what a budget of that size keeps`, async () => {
        const plan = (budget: number | null) =>
          policy({sinks: 4, recent: 16, keep: {name, options: {budget, refit}}, store});
        const evicted = prefilled(plan(40));
        const observing = () =>
          name === 'window'
            ? policy({recent: 16, keep: {name: 'keyDiff', options: {budget: null, refit}}, store})
            : plan(null);
        const cache = prefilled(observing());
        expect(tokensHeld(cache.past(0)!)).to.equal(tokens);
        const held = tokensHeld(evicted.past(0)!);
        const cuts = await compressPrompt(cache, {name, options: {refit}}, held, {recent: 16});
        const cut = {keptTokens: held, evictedTokens: tokens - held};
        expect(cuts).to.deep.equal([0, 1].map(depth => ({depth, ...cut})));
        for (const depth of [0, 1]) {
          expect(positions(cache, depth)).to.deep.equal(positions(evicted, depth));
          expect(cache.past(depth)!.events.evictedTokens).to.equal(tokens - held);
        }
        const [after, expected] = [feed(cache, tokens, 3), feed(evicted, tokens, 3)];
        after.forEach((output, depth) => {
          output.forEach((number, i) => expect(number).to.be.closeTo(expected[depth]![i]!, 1e-5));
        });
        cache.dispose();
        evicted.dispose();
      });
    }
  }

  const held = (cache: KVCache) => cache.report().map(({tokensHeld: count}) => count);

  it('takes a share, tokens or bytes', async () => {
    for (const [size, expected] of [
      [0.25, [30, 30]],
      [50, [50, 50]],
      // of each of 40 tokens: 16 + 16 numbers and a position for each of two heads
      ['10560B', [40, 40]],
    ] as const) {
      const cache = prefilled('full');
      await compressPrompt(cache, 'keyDiff', size);
      expect(held(cache), String(size)).to.deep.equal(expected);
      cache.dispose();
    }
  });

  it('takes a keeper by its text', async () => {
    const cutBy = async (keep: KeeperLike) => {
      const cache = prefilled('snapKv:budget=null,queries=16');
      await compressPrompt(cache, keep, 0.5);
      const kept = positions(cache, 0);
      cache.dispose();
      return kept;
    };
    const byText = await cutBy('dropKv:queries=8');
    expect(byText).to.deep.equal(await cutBy({name: 'dropKv', options: {queries: 8}}));
    expect(byText).to.not.deep.equal(await cutBy('dropKv:queries=16'));
  });

  it('leaves depths alone whose window holds too little, if others have none', async () => {
    const windows = [10];
    for (const [size, expected] of [
      [50, [9, 50]],
      [0.4, [9, 48]],
      ['10560B', [9, 40]],
      ['dropKv', [9, 60]],
    ] as const) {
      const keeper = size === 'dropKv' ? {name: size, options: {queries: 8}} : 'keyDiff';
      const options = size === 'dropKv' ? {over: 'model', recent: 8} : {};
      await expectNoLeak(async () => {
        const cache = new KVCache(
          shapes,
          policy({keep: {name: 'dropKv', options: {budget: null, queries: 8}}}),
        );
        feed(cache, 0, tokens, windows);
        const cuts = await compressPrompt(cache, keeper, size === 'dropKv' ? 60 : size, options as object);
        expect(cuts.map(({keptTokens}) => keptTokens)).to.deep.equal(expected);
        expect(cuts[0]!.evictedTokens).to.equal(0);
        expect(held(cache)).to.deep.equal(expected);
        feed(cache, tokens, 3, windows);
        cache.dispose();
      });
    }
    const both = new KVCache(shapes, 'full');
    feed(both, 0, tokens, [10, 10]);
    const caught = await compressPrompt(both, 'keyDiff', 50).catch((reason: unknown) => reason);
    expect(caught)
      .to.be.instanceOf(InvalidArgumentError)
      .with.property('message')
      .that.includes('there are 9');
    both.dispose();
  });

  it('leaves a cache that forks, is saved and changes its plan', async () => {
    await expectNoLeak(async () => {
      const cache = prefilled('snapKv:budget=null,queries=16');
      await compressPrompt(cache, {name: 'snapKv', options: {queries: 16}}, 0.5);
      const fork = cache.fork();
      await compressPrompt(fork, {name: 'dropKv', options: {queries: 8}}, 0.5, {recent: 8});
      expect(held(cache)).to.deep.equal([60, 60]);
      expect(held(fork)).to.deep.equal([30, 30]);
      const restored = await KVCache.restore(await fork.save(), shapes);
      expect(positions(restored, 1)).to.deep.equal(positions(fork, 1));
      expect(feed(restored, tokens, 1)).to.deep.equal(feed(fork, tokens, 1));
      await fork.setPlan('tova:budget=16,recent=8');
      feed(fork, tokens + 1, 1);
      expect(held(fork)[0]).to.be.at.most(28);
      for (const used of [cache, fork, restored]) used.dispose();
    });
  });

  it('divides tokens over all depths by their scores', async () => {
    await expectNoLeak(async () => {
      const cache = prefilled('dropKv:budget=null,queries=8,recent=8');
      const cuts = await compressPrompt(cache, {name: 'dropKv', options: {queries: 8}}, 40, {
        over: 'model',
        recent: 8,
      });
      const kept = cuts.map(({keptTokens}) => keptTokens);
      expect(kept[0]! + kept[1]!).to.equal(80);
      expect(kept[0]).not.to.equal(kept[1]);
      expect(Math.min(...kept)).to.be.at.least(12 + 6);
      cache.dispose();
    });
  });

  it('shares budgets as a ranking of all scores does', () => {
    const score = fc.float({min: 0, max: 1, noNaN: true});
    fc.assert(
      fc.property(
        fc.array(fc.array(score, {minLength: 20, maxLength: 30}), {minLength: 2, maxLength: 6}),
        fc.integer({min: 1, max: 20}),
        (scores, budget) => {
          const shares = sharedBudgets(scores.map(ofHead => ({budget, scores: [Float32Array.from(ofHead)]})));
          expect(shares.reduce((sum, share) => sum + share, 0)).to.equal(budget * scores.length);
          const floor = Math.ceil(budget / 5);
          const kept = scores.map((ofHead, depth) =>
            ofHead.toSorted((a, b) => b - a).slice(0, shares[depth]),
          );
          const lost = scores.map((ofHead, depth) => ofHead.toSorted((a, b) => b - a).slice(shares[depth]));
          const best = Math.max(...lost.flat(), 0);
          for (const ofDepth of kept) {
            expect(ofDepth.length).to.be.at.least(floor);
            for (const each of ofDepth.slice(floor))
              expect(Math.fround(each)).to.be.at.least(Math.fround(best));
          }
        },
      ),
    );
  });

  it('refuses what it cannot do, and leaves the cache as it was', async () => {
    const wrong: readonly [PolicyLike, KeeperLike, PromptSize, typeof InvalidArgumentError, RegExp][] = [
      ['full', 'keyDiff', 0, InvalidArgumentError, /size = 0; expected a share/],
      ['full', 'keyDiff', -1, InvalidArgumentError, /size = -1/],
      ['full', 'keyDiff', 1.5, InvalidArgumentError, /size = 1.5/],
      ['full', 'keyDiff', NaN, InvalidArgumentError, /size = NaN/],
      ['full', 'keyDiff', '12' as '12B', InvalidArgumentError, /size = "12"/],
      ['full', 'keyDiff', '0.0kB', InvalidArgumentError, /size = "0.0kB"/],
      ['full', 'keyDiff', 121, InvalidArgumentError, /121 tokens, but there are 120/],
      ['full', 'keyDiff', '1MB', InvalidArgumentError, /tokens, but there are 120/],
      ['full', 'keyDiff', '500B', InvalidArgumentError, /1 of 120 tokens would stay .* the first 4/],
      ['full', 'keyDiff', 4, InvalidArgumentError, /4 of 120 tokens would stay/],
      ['snapKv:budget=null', 'snapKv', 0.5, InvalidArgumentError, /60 of 120 tokens would stay .*newest 64/],
      ['full', 'snapKv', 0.9, CacheStateError, /newest 64 queries, .*'snapKv:budget=null'/],
      [
        'tova:budget=null',
        'snapKv',
        0.9,
        CacheStateError,
        /newest 64 queries, and this cache kept 1\D.*'snapKv:budget=null'/,
      ],
      ['full', 'heaviest', 0.9, CacheStateError, /attention of all queries, .*'heaviest:budget=null'/],
      ['lastUsed:budget=null', 'heaviest', 0.9, CacheStateError, /attention of all queries/],
      [
        'full',
        'h2o:heavyBudget=5',
        0.5,
        InvalidArgumentError,
        /"h2o" is a policy; give its keeper, heaviest\.$/,
      ],
      ['full', h2o(), 0.5, InvalidArgumentError, /"h2o" is a policy; give its keeper, heaviest\.$/],
      ['full', {name: 'lru'}, 0.5, InvalidArgumentError, /"lru" is a policy; give its keeper, lastUsed\.$/],
      ['full', 'quantized', 0.5, InvalidArgumentError, /"quantized" is a policy; give a keeper: all, dropKv/],
      ['full', 'nothing', 0.5, InvalidArgumentError, /no keeper "nothing"/],
    ];
    for (const [plan, keep, size, error, message] of wrong) {
      const cache = prefilled(plan);
      const before = await cache.save();
      const caught = await compressPrompt(cache, keep, size).catch((reason: unknown) => reason);
      expect(caught, `${JSON.stringify(keep)} ${size}`)
        .to.be.instanceOf(error)
        .with.property('message')
        .that.matches(message);
      expect(Buffer.compare(await cache.save(), before), 'as before').to.equal(0);
      cache.dispose();
    }
    const empty = new KVCache(shapes, 'full');
    const ofEmpty = await compressPrompt(empty, 'keyDiff', 0.5).catch((reason: unknown) => reason);
    expect(ofEmpty)
      .to.be.instanceOf(CacheStateError)
      .with.property('message')
      .that.includes('holds no tokens');
    const cache = prefilled('full');
    cache.dispose();
    const ofDisposed = await compressPrompt(cache, 'keyDiff', 0.5).catch((reason: unknown) => reason);
    expect(ofDisposed)
      .to.be.instanceOf(CacheStateError)
      .with.property('message')
      .that.includes('disposed of');
    await rejection(cache.truncate(3), InvalidArgumentError, /from 0 to 0, .*\. It was disposed of/);
    const prefixes = new PrefixCache();
    expect(() => prefixes.remember(cache, [1, 2], 1)).to.throw(
      InvalidArgumentError,
      /0 tokens; .* disposed of/,
    );
    feed(cache, 0, tokens); // it may be used again
    await rejection(cache.truncate(200), InvalidArgumentError, /from 0 to 120, the tokens in the cache\.$/);
    const other = new KVCache(shapes, 'full');
    other.dispose();
    other.continueFrom(cache);
    await rejection(other.truncate(200), InvalidArgumentError, /the tokens in the cache\.$/);
    other.dispose();
    const running = compressPrompt(cache, 'keyDiff', 0.5, {over: 'model'});
    feed(cache, tokens, 1);
    const changed = await running.catch((reason: unknown) => reason);
    expect(changed).to.be.instanceOf(CacheStateError).with.property('message').that.includes('changed');
    expect(held(cache)).to.deep.equal([121, 121]);
    const lease = cache.lease('a test');
    const leased = await compressPrompt(cache, 'keyDiff', 0.5).catch((reason: unknown) => reason);
    expect(leased).to.be.instanceOf(CacheStateError);
    lease.end();
    cache.dispose();
  });

  it('names a plan in its error whose cache can be cut so', async () => {
    const lacking = ['full', 'tova:budget=null', 'mostUsed:budget=null', 'snapKv:budget=null,queries=4'];
    const keepers = [
      ...[
        'heaviest',
        'lastUsed:threshold=0.2',
        'mostUsed:threshold=0.3',
        'window',
        'dropKv:queries=8',
        'snapKv',
      ],
      ...['expectedAttention:queries=40', 'tova', 'snapKv:queries=16'],
    ].flatMap(keep =>
      [false, true, 'leastSquares'].map(
        refit => `${keep}${keep.includes(':') ? ',' : ':'}refit=${String(refit)}`,
      ),
    );
    let refused = 0;
    for (const keeper of keepers) {
      for (const plan of lacking) {
        const without = prefilled(plan);
        const message = await compressPrompt(without, keeper, 0.9).then(() => undefined, String);
        without.dispose();
        if (message === undefined) continue; // the plan asks for all that the keeper looks at
        refused++;
        const named = /'(\w+:budget=null[^']*)'/.exec(message)?.[1];
        const cache = prefilled(named!);
        expect((await compressPrompt(cache, keeper, 0.9))[0]!.keptTokens, message).to.equal(108);
        cache.dispose();
      }
    }
    expect(refused).to.be.above(60);
  });

  it('names a plan that works for keepers of users, too', async () => {
    const score: Keeper['score'] = ({positions}) => positions;
    const mass = {statistic: 'mass'} as const;
    registerKeeper('testFixedBudget', ({budget = 40}: {budget?: number} = {}) => ({
      ...{name: 'testFixedBudget', options: {budget}, budget, observes: mass, score}, // budget: null is none
    }));
    registerKeeper('testNoBudget', ({look = 8}: {look?: number} = {}) => ({
      ...{name: 'testNoBudget', options: {look}, queries: look, observes: mass, score},
    }));
    registerKeeper('testTexts', ({mode = 'a', budget = null}: {mode?: string; budget?: null} = {}) => ({
      ...{name: 'testTexts', options: {mode, budget}, queries: 8, score},
    }));
    const own: Keeper = {name: 'testOwn', options: {}, observes: mass, score};
    const keepers: readonly (readonly [KeeperLike, string])[] = [
      [own, 'policy({keep: keeper})'],
      [{...own, budget: 40, queries: 40}, 'policy({keep: {...keeper, budget: undefined}})'],
      [{...own, name: 'snapKv'}, 'policy({keep: keeper})'],
      ['testFixedBudget:budget=50', 'policy({keep: {...keeper, budget: undefined}})'],
      ['testNoBudget', "'testNoBudget'"],
      ['testNoBudget:look=12', "'testNoBudget:look=12'"],
      ['testTexts:mode=b', "'testTexts:mode=b'"],
      [{name: 'testOwn', options: {}, queries: 40, score}, "'snapKv:budget=null,queries=40'"],
    ];
    for (const [keep, named] of keepers) {
      const without = prefilled('full');
      const {message} = await rejection(compressPrompt(without, keep, 0.9), CacheStateError);
      expect(message).to.include(`such as ${named}, which evicts nothing`);
      without.dispose();
      const {budget: _, ...unlimited} = asKeeper(keep);
      const cache = prefilled(named.startsWith("'") ? named.slice(1, -1) : policy({keep: unlimited}));
      expect((await compressPrompt(cache, keep, 0.9))[0]!.keptTokens, named).to.equal(108);
      cache.dispose();
    }
  });

  it('frees what it made if a keeper fails at a later depth', async () => {
    await expectNoLeak(async () => {
      const cache = prefilled('full');
      const before = await cache.save();
      const keep: Keeper = {
        name: 'mine',
        options: {},
        budget: 1,
        score: ({depth, positions}) => (depth === 1 ? tf.zeros([1]) : positions),
      };
      const caught = await compressPrompt(cache, keep, 0.5).catch((reason: unknown) => reason);
      expect(caught).to.be.instanceOf(InvalidArgumentError);
      expect(Buffer.compare(await cache.save(), before), 'as before').to.equal(0);
      cache.dispose();
    });
  });

  it('rebuilds keys that a layer stores as latents', async () => {
    const input = tf.input({shape: [null, 32]});
    const layer = eigenAttention({
      numHeads: 4,
      numKvHeads: 2,
      keyRank: 4,
      valueRank: 4,
      rope: {theta: 100},
      depth: 0,
    });
    const model = tf.model({inputs: input, outputs: layer.apply(input) as tf.SymbolicTensor});
    const x = tf.randomNormal([1, 60, 32], 0, 1, 'float32', 5);
    for (const name of ['keyDiff', 'dropKv', 'expectedAttention', 'snapKv', 'tova']) {
      const cache = new KVCache(model, policy({keep: {name, options: {budget: null}}}));
      tf.tidy(() => void model.apply(x, {cache}));
      const restored = await KVCache.restore(await cache.save(), model);
      await compressPrompt(cache, name, 40, {recent: 16});
      expect(held(cache)).to.deep.equal([40]);
      if (name !== 'keyDiff') {
        const caught = await compressPrompt(restored, name, 40, {recent: 16}).catch(
          (reason: unknown) => reason,
        );
        expect(caught)
          .to.be.instanceOf(CacheStateError)
          .with.property('message')
          .that.includes('one more step');
      }
      cache.dispose();
      restored.dispose();
    }
    x.dispose();
    model.dispose();
  });
});
