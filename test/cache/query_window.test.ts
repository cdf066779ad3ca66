import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {type Keeper, KVCache, policy, uniformShapes} from '../../cache/index.js';
import type {QueryWindow} from '../../cache/past/past.js';
import {appendQueries, newestQueries} from '../../cache/past/query_window.js';
import {testBackends, describeOnBackends} from '../support/backends.js';
import {expectNoLeak} from '../support/tensors.js';

const [batch, heads, dim] = [2, 3, 4];
const shapes = uniformShapes({depths: 1, heads, headDim: dim});

/** Queries whose numbers say where they belong. */
const queriesFrom = (from: number, count: number): tf.Tensor4D =>
  tf.tidy(() => {
    const ofHead = tf.reshape(tf.range(0, batch * heads), [batch, heads, 1, 1]);
    const position = tf.reshape(tf.range(from, from + count), [1, 1, count, 1]);
    return tf.tile(tf.add<tf.Tensor4D>(tf.mul(ofHead, 1000), position), [1, 1, 1, dim]);
  });

const newest = (window: QueryWindow, count: number) =>
  tf.tidy(() => [...newestQueries(window, count).dataSync()]);

describeOnBackends(
  'the window of queries',
  () => {
    it('holds the newest ones in their order, whatever the steps, and leaves earlier windows as they were', () => {
      fc.assert(
        fc.property(
          fc.integer({min: 1, max: 20}),
          fc.array(fc.integer({min: 1, max: 30}), {minLength: 1, maxLength: 12}),
          (most, steps) => {
            tf.tidy(() => {
              let window: QueryWindow | undefined;
              let seen = 0;
              const before: [QueryWindow, number[]][] = [];
              for (const count of steps) {
                window = appendQueries(window, queriesFrom(seen, count), most);
                seen += count;
                const stay = Math.min(most, seen);
                expect(window.tokens).to.be.at.least(stay);
                expect(window.data.shape[2]).to.be.at.most(2 * most + 15);
                expect(newest(window, stay)).to.deep.equal([...queriesFrom(seen - stay, stay).dataSync()]);
                before.push([window, newest(window, window.tokens)]);
              }
              for (const [each, was] of before) expect(newest(each, each.tokens)).to.deep.equal(was);
            });
          },
        ),
        {numRuns: 30},
      );
    });

    it('is cut with the text, goes through a change of plan, and is counted', async () => {
      await expectNoLeak(async () => {
        const plan = (keep: string, queries: number) =>
          policy({sinks: 0, recent: 8, keep: {name: keep, options: {budget: null, queries}}});
        const {numBytes} = tf.memory();
        const cache = new KVCache(shapes, plan('snapKv', 8));
        const feed = (from: number, count: number) =>
          tf.tidy(() => {
            const x = queriesFrom(from, count);
            cache.attend(0, {queries: x, keys: x, values: x});
          });
        const held = (count: number) => newest(cache.past(0)!.queries!, count);
        const expected = (from: number, count: number) =>
          tf.tidy(() => [...queriesFrom(from, count).dataSync()]);
        feed(0, 30);
        feed(30, 3);
        expect(held(8)).to.deep.equal(expected(25, 8));
        expect(cache.byteSize).to.equal(tf.memory().numBytes - numBytes);
        await cache.truncate(31);
        expect(held(6)).to.deep.equal(expected(25, 6));
        feed(31, 4);
        expect(held(8)).to.deep.equal(expected(27, 8));
        await cache.truncate(20);
        expect(cache.past(0)!.queries).to.equal(undefined);
        feed(20, 4);
        expect(held(4)).to.deep.equal(expected(20, 4));
        await cache.setPlan(plan('dropKv', 3));
        expect(held(3)).to.deep.equal(expected(21, 3));
        const restored = await KVCache.restore(await cache.save(), shapes);
        expect(newest(restored.past(0)!.queries!, 3)).to.deep.equal(expected(21, 3));
        expect(restored.past(0)!.queries!.tokens).to.equal(3);
        await cache.setPlan('full');
        expect(cache.past(0)!.queries).to.equal(undefined);
        cache.dispose();
        restored.dispose();
      });
    });
  },
  // webgl has buffers without spare rows
  testBackends.filter(backend => backend !== 'webgl'),
);

describe('a keeper that scores by queries', () => {
  before(() => tf.setBackend('cpu'));

  const scoring = (score: NonNullable<Keeper['score']>, queries?: number): KVCache =>
    new KVCache(
      shapes,
      policy({
        sinks: 0,
        recent: 4,
        keep: {name: 'mine', options: {}, budget: 8, score, ...(queries && {queries})},
      }),
    );

  const feed = (cache: KVCache, from: number, count: number) =>
    tf.tidy(() => {
      const x = tf.mul<tf.Tensor4D>(queriesFrom(from, count), 1e-3);
      cache.attend(0, {queries: x, keys: x, values: x});
    });

  it('must say how many it needs', () => {
    const cache = scoring(({queries}) => queries().mass());
    expect(() => {
      feed(cache, 0, 20);
    }).to.throw(InvalidArgumentError, /mine asks for queries; .*\{queries: 32\}/);
    cache.dispose();
    for (const queries of [0, 1.5, NaN, '8']) {
      const keep = {name: 'mine', options: {}, budget: 8, queries: queries as number};
      expect(() => policy({keep})).to.throw(InvalidArgumentError, /queries = /);
    }
  });

  it('gets those that see every candidate, with probabilities that add up over all tokens', () => {
    const counts: number[] = [];
    const cache = scoring(({queries, byTile, positions}) => {
      const {count, rotated, mass, outputs, logSum} = queries();
      counts.push(count);
      expect(rotated.shape).to.deep.equal([batch, heads, count, dim]);
      expect(outputs().shape).to.deep.equal([batch, heads, count, dim]);
      expect(logSum().shape).to.deep.equal([batch, heads, count, 1]);
      const summed = byTile(({attention}) => tf.reshape(tf.sum(attention(), 2), [batch, heads, -1, 1]));
      const difference = tf.max(tf.abs(tf.sub(summed, mass()))).dataSync()[0]!;
      expect(difference).to.be.below(1e-5);
      const total = tf.max(tf.sum(mass(), 2)).dataSync()[0]!;
      expect(total)
        .to.be.above(0)
        .and.at.most(count + 1e-4);
      return positions;
    }, 9);
    feed(cache, 0, 40);
    for (let at = 40; at < 50; at++) feed(cache, at, 1);
    expect(counts.length).to.be.above(2);
    expect(new Set(counts)).to.deep.equal(new Set([4]));
    cache.dispose();
  });

  it('evicts at the step after a plan changed to it, since there are no queries before', async () => {
    const cache = new KVCache(shapes, 'full');
    feed(cache, 0, 40);
    await cache.setPlan('tova:budget=8,recent=4,sinks=0');
    expect(cache.report()[0]!.tokensHeld).to.equal(40);
    feed(cache, 40, 1);
    expect(cache.report()[0]!.tokensHeld).to.equal(12);
    cache.dispose();
  });
});
