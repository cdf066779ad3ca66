import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {CacheStateError, InvalidArgumentError} from '../../base/errors.js';
import {
  type KeeperLike,
  KVCache,
  type PolicyLike,
  type Refit,
  type StoreLike,
  asPolicy,
  compressPrompt,
  keeperNames,
  policy,
  uniformShapes,
} from '../../cache/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {expectNoLeak} from '../support/tensors.js';
import {shipped} from './variants.js';

const {batch, heads, kvHeads, dim} = {batch: 2, heads: 4, kvHeads: 2, dim: 16};
const shapes = uniformShapes({depths: 1, heads, kvHeads, headDim: dim});
const tokens = 90;

describe('keepers that refit', () => {
  let text: {queries: tf.Tensor4D; keys: tf.Tensor4D; values: tf.Tensor4D};
  before(async () => {
    await useBackend('wasm');
    const random = (of: number, seed: number) =>
      tf.randomNormal<tf.Rank.R4>([batch, of, tokens, dim], 0, 1.5, 'float32', seed);
    text = {queries: random(heads, 1), keys: random(kvHeads, 2), values: random(kvHeads, 3)};
  });
  after(() => tf.dispose(text));

  /** Tokens `from .. from + count` through the cache; the output. */
  const feed = (cache: KVCache, from: number, count: number, of = text): Float32Array =>
    tf.tidy(() => {
      const cut = (x: tf.Tensor4D) => tf.slice(x, [0, 0, from, 0], [-1, -1, count, -1]);
      const fresh = {queries: cut(of.queries), keys: cut(of.keys), values: cut(of.values)};
      return cache.attend(0, fresh).dataSync<'float32'>().slice();
    });

  const stored = (cache: KVCache) => cache.past(0)!.held['stored']!;
  const numbersOf = (x: tf.Tensor): Float32Array => x.dataSync<'float32'>().slice();
  const valuesOf = (cache: KVCache): Float32Array =>
    tf.tidy(() => numbersOf(decodeEncoding(stored(cache).values, 0, stored(cache).tokens)));

  const plans = (refit: Refit, store: StoreLike = 'dense') =>
    shipped(keeperNames())
      .filter(name => name !== 'all')
      .map(name => policy({keep: {name, options: {budget: 16, refit}}, recent: 20, sinks: 4, store}));

  it('lose nothing if each evicted token is like one that stays', () => {
    // without rotation, tokens of four kinds in turn, of which a window keeps two each and evicts three
    const kinds = (x: tf.Tensor4D) =>
      tf.tidy(() => tf.tile(tf.slice(x, [0, 0, 0, 0], [-1, -1, 4, -1]), [1, 1, 10, 1]));
    const repeated = {queries: kinds(text.queries), keys: kinds(text.keys), values: kinds(text.values)};
    const outputOf = (plan: PolicyLike) => {
      const cache = new KVCache(shapes, plan);
      feed(cache, 0, 36, repeated);
      const output = feed(cache, 36, 4, repeated);
      cache.dispose();
      return output;
    };
    const exact = outputOf('full');
    const errorOf = (refit: boolean) => {
      const plan = policy({keep: {name: 'window', options: {budget: 8, refit}}, recent: 16, sinks: 0});
      return Math.max(...outputOf(plan).map((x, i) => Math.abs(x - exact[i]!)));
    };
    expect(errorOf(true)).to.be.below(1e-5);
    expect(errorOf(false)).to.be.above(1e-3);
    tf.dispose(repeated);
  });

  it('change kept values and add biases, and leave keys and positions as they would be', () => {
    for (const [index, plan] of plans(true).entries()) {
      const [cache, plain] = [new KVCache(shapes, plan), new KVCache(shapes, plans(false)[index])];
      feed(cache, 0, 80);
      feed(plain, 0, 80);
      const bias = numbersOf(stored(cache).bias!);
      expect(Math.max(...bias), plan.keep.name).to.be.within(0.01, 1.5);
      expect(Math.min(...bias)).to.be.at.least(0);
      expect(plain.past(0)!.held['stored']?.bias).to.equal(undefined);
      if (plan.keep.name === 'window') continue; // without refitting, all of its tokens are recent ones
      const keys = ({keys: of}: ReturnType<typeof stored>) =>
        tf.tidy(() => numbersOf(decodeEncoding(of, 0, 16)));
      expect(keys(stored(cache))).to.deep.equal(keys(stored(plain)));
      const [values, others] = [valuesOf(cache), valuesOf(plain)];
      for (const [token, own] of bias.entries()) {
        const at = token * dim;
        const isSame = values.slice(at, at + dim).every((x, i) => x === others[at + i]);
        expect(isSame, `${plan.keep.name}, ${token}`).to.equal(own === 0);
      }
      cache.dispose();
      plain.dispose();
    }
  });

  it('by least squares bring back what the newest queries had, and leave first tokens as they are', async () => {
    // those queries again, whose own keys and values are nothing
    const again = tf.tidy(() => ({
      queries: tf.slice(text.queries, [0, 0, 60, 0], [-1, -1, 20, -1]),
      keys: tf.zeros<tf.Rank.R4>([batch, kvHeads, 20, dim]),
      values: tf.zeros<tf.Rank.R4>([batch, kvHeads, 20, dim]),
    }));
    const answered = async (size: number, refit: Refit) => {
      const cache = new KVCache(shapes, 'keyDiff:budget=null,refit=leastSquares,recent=20');
      feed(cache, 0, 80);
      if (size < 1) await compressPrompt(cache, {name: 'keyDiff', options: {refit}}, size, {recent: 20});
      const first = size < 1 ? valuesOf(cache).slice(0, 4 * dim) : undefined;
      const output = feed(cache, 0, 20, again);
      cache.dispose();
      return {output, first};
    };
    const exact = await answered(1, false);
    const lossOf = async (refit: Refit) => {
      const {output, first} = await answered(0.5, refit);
      expect(first).to.deep.equal(
        tf.tidy(() => numbersOf(tf.slice(text.values, [0, 0, 0, 0], [1, 1, 4, -1]))),
      );
      return Math.hypot(...output.map((x, i) => x - exact.output[i]!));
    };
    const [none, merged, fitted] = [await lossOf(false), await lossOf(true), await lossOf('leastSquares')];
    expect(merged).to.be.below(none);
    expect(fitted).to.be.below(0.8 * merged);
    tf.dispose(again);
  });

  it('by least squares never give a value that lies beyond the others', () => {
    // the newest queries look at tokens that go and at the newest, and at those that stay next to nothing
    const cache = new KVCache(shapes, 'sliding:window=36,refit=leastSquares,recent=16,sinks=0');
    const near = tf.tidy(() => {
      const keysOf = (tokensOf: number, number: number) =>
        tf.fill<tf.Rank.R4>([batch, kvHeads, tokensOf, dim], number);
      const few = (x: tf.Tensor4D, tokens: number) => tf.slice(x, [0, 0, 0, 0], [-1, -1, tokens, -1]);
      const keys = tf.concat([keysOf(40, 0.4), keysOf(24, -0.4), keysOf(16, 0.35)], 2);
      return {
        queries: tf.fill<tf.Rank.R4>([batch, heads, 80, dim], 3),
        keys: tf.add<tf.Tensor4D>(keys, tf.mul(few(text.keys, 80), 0.01)),
        values: few(text.values, 80),
      };
    });
    feed(cache, 0, 80, near);
    expect(stored(cache).bias).to.not.equal(undefined);
    const most = Math.max(...numbersOf(near.values).map(Math.abs));
    expect(Math.max(...valuesOf(cache).map(Math.abs))).to.be.at.most(most);
    cache.dispose();
    tf.dispose(near);
  });

  it('go on where nothing but the newest tokens stays', () => {
    for (const refit of [true, 'leastSquares'] as const) {
      const cache = new KVCache(shapes, `sliding:window=16,recent=16,refit=${String(refit)},sinks=4`);
      feed(cache, 0, 60);
      expect(feed(cache, 60, 3).every(Number.isFinite)).to.equal(true);
      expect(cache.report()[0]!.tokensHeld, String(refit)).to.equal(20);
      cache.dispose();
    }
  });

  it('encode changed values once more, and no others', () => {
    for (const store of ['float8', {keys: 'float8', values: {bits: 4, groupSize: 8}}] as const) {
      const keep = (refit: boolean) =>
        policy({keep: {name: 'heaviest', options: {budget: 16, refit}}, recent: 20, store});
      const [cache, plain, exact] = [keep(true), keep(false), plans(true)[0]!].map(
        plan => new KVCache(shapes, plan),
      );
      for (const each of [cache!, plain!]) feed(each, 0, 80);
      exact!.dispose();
      const [values, others, bias] = [valuesOf(cache!), valuesOf(plain!), numbersOf(stored(cache!).bias!)];
      expect(bias.filter(x => x > 0).length).to.be.above(4);
      for (const [token, own] of bias.entries()) {
        if (own > 0) continue;
        expect(values.slice(token * dim, (token + 1) * dim)).to.deep.equal(
          others.slice(token * dim, (token + 1) * dim),
        );
      }
      cache!.dispose();
      plain!.dispose();
    }
  });

  it('stay within a budget in bytes', () => {
    const cache = new KVCache(shapes, 'heaviest:budget=4kB,refit=true,recent=4');
    for (let from = 0; from < 85; from += 5) {
      feed(cache, from, 5);
      const {keys, tokens: count} = cache.past(0)!.held['stored'] ?? {};
      if (keys === undefined || count === undefined) continue;
      // of a token and head: a key, a value, its position, its score and its bias; 4 sinks lie with them
      expect((count - 4) * kvHeads * 4 * (2 * dim + 3)).to.be.at.most(4000);
    }
    expect(stored(cache).tokens).to.be.above(10);
    cache.dispose();
  });

  it('go on alike after they were saved or forked, and carry biases to another plan', () =>
    expectNoLeak(async () => {
      const cache = new KVCache(shapes, 'snapKv:budget=null,refit=true,queries=16,recent=16');
      feed(cache, 0, 80);
      await compressPrompt(cache, {name: 'snapKv', options: {queries: 16, refit: true}}, 0.5);
      expect(numbersOf(stored(cache).bias!).length).to.equal(batch * kvHeads * 24);
      const fork = cache.fork();
      const restored = await KVCache.restore(await cache.save(), shapes);
      const output = feed(cache, 80, 2);
      expect(feed(fork, 80, 2)).to.deep.equal(output);
      expect(feed(restored, 80, 2)).to.deep.equal(output);
      await fork.setPlan('quantized:bits=8,groupSize=16,residual=0');
      const [exact, coded] = [feed(cache, 82, 2), feed(fork, 82, 2)];
      coded.forEach((x, i) => expect(x).to.be.closeTo(exact[i]!, 0.05));
      for (const used of [cache, fork, restored]) used.dispose();
    }));

  it('say by which options of a policy they have enough recent tokens', async () => {
    const keep = 'keep=keyDiff,budget=256,refit=true';
    for (const text of [
      'keyDiff:refit=true,recent=3',
      'h2o:recentBudget=8,refit=leastSquares',
      'lru:maxCacheSize=100,refit=true',
      'lfu:maxCacheSize=100,refit=true',
      'sliding:recent=3,refit=true',
      'sliding:window=12,refit=true',
      'sliding:window=12,recent=5,refit=true',
      `quantized:${keep}`,
      `float8:${keep}`,
      `layered:longTermBits=4,shortTermSize=8,${keep}`,
    ]) {
      const {name, options} = asPolicy(text);
      const message = await Promise.resolve(text)
        .then(plan => new KVCache(shapes, plan))
        .then(String, String);
      expect(message).to.match(
        new RegExp(`^InvalidArgumentError: ${name}: refit needs the newest 16 queries`),
      );
      const named = [...message.matchAll(/(\w+): (\d+)(?= or more| and )/g)];
      const given = Object.fromEntries(named.map(([, option, size]) => [option!, Number(size)]));
      expect(named, message).to.not.be.empty;
      new KVCache(shapes, {name, options: {...options, ...given}}).dispose();
      const [, instead] = /, or (refit: true.*), which/.exec(message) ?? [];
      expect(instead !== undefined, message).to.equal(!/^(lru|lfu|sliding)$/.test(name)); // these keep by themselves
      if (instead === undefined) continue;
      const heaviest = {name: 'heaviest', options: {budget: 256, refit: true}};
      const followed =
        instead === 'refit: true'
          ? {name, options: {...options, refit: true}}
          : 'keep' in options
            ? {name, options: {...options, keep: heaviest}}
            : heaviest;
      new KVCache(shapes, followed).dispose();
    }
  });

  it('say what they lack', async () => {
    const make = (plan: PolicyLike) => () => new KVCache(shapes, plan).dispose();
    for (const store of [
      'onlineSvd',
      'adaptive',
      'transform',
      {groupAxis: 'channel', groupSize: 4},
    ] as const) {
      const name = typeof store === 'string' ? store : 'integer';
      expect(make(policy({keep: {name: 'heaviest', options: {refit: true}}, store})), name).to.throw(
        InvalidArgumentError,
        new RegExp(`refit: ${name} cannot encode the values of a token again .*dense, float8 or integer`),
      );
    }
    const few = /refit needs the newest 16 queries, .* 8 recent tokens .* give recent: 16 or more/;
    expect(make('keyDiff:budget=32,refit=true,recent=8')).to.throw(InvalidArgumentError, few);
    expect(make('sliding:window=64,recent=8,refit=true')).to.throw(InvalidArgumentError, few);
    make('heaviest:budget=32,refit=true,recent=1')();
    expect(make('heaviest:budget=32,refit=leastSquares,recent=8')).to.throw(InvalidArgumentError, few);
    expect(
      make(policy({keep: {name: 'heaviest', options: {refit: 'leastSquares'}}, store: 'float8'})),
    ).to.throw(InvalidArgumentError, /leastSquares.* float8 would round them each time; give refit: true/);
    expect(make('keyDiff:refit=1')).to.throw(InvalidArgumentError, /refit.*true, false or "leastSquares"/);
    const cut = async (plan: PolicyLike, keep: KeeperLike): Promise<unknown> => {
      const cache = new KVCache(shapes, plan);
      feed(cache, 0, 80);
      const before = await cache.save();
      const caught = await compressPrompt(cache, keep, 0.5).catch((reason: unknown) => reason);
      expect(Buffer.compare(await cache.save(), before), 'as before').to.equal(0);
      cache.dispose();
      return caught;
    };
    const refitted = (name: string) => ({name, options: {refit: true}});
    expect(await cut('full', refitted('keyDiff')))
      .to.be.instanceOf(CacheStateError)
      .with.property('message')
      .that.matches(/^compressPrompt: .* newest 16 queries/);
    expect(await cut('tova:budget=null', refitted('keyDiff')))
      .to.be.instanceOf(CacheStateError)
      .with.property('message')
      .that.matches(/refit needs 16 .* queries.* kept 1/);
    expect(await cut('transform:bits=4,keep=tova,budget=null', refitted('tova')))
      .to.be.instanceOf(InvalidArgumentError)
      .with.property('message')
      .that.matches(/transform cannot encode the values/);
  });
});
