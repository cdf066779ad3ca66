import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {
  KVCache,
  type Budget,
  type Keeper,
  type StoreLike,
  asKeeper,
  asPolicy,
  keeperNames,
  keepers,
  policy,
  storeNames,
  tokenBudget,
  uniformShapes,
} from '../../cache/index.js';
import {decodeTokens} from '../../cache/past/decode.js';
import {type Past, segmentsOf, tokensHeld} from '../../cache/past/past.js';
import {RopeTables} from '../../cache/past/rope_tables.js';
import {rotate} from '../../ops/rotate/index.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {expectNoLeak} from '../support/tensors.js';
import {randomProfileId} from '../support/transform_profile.js';
import {shipped, throughJson} from './variants.js';

// Every keeper with every codec: one text of two, token by token and in chunks, on wasm, and on tensorflow if that is under test. What each
// half does alone is tested by the contracts of codecs and of presets.

const kept: Record<string, Keeper> = {
  all: keepers.all(),
  window: keepers.window({budget: 64}),
  heaviest: keepers.heaviest({budget: 64}),
  lastUsed: keepers.lastUsed({budget: 64, threshold: 0.05}),
  mostUsed: keepers.mostUsed({budget: 64, threshold: 0.05}),
  tova: keepers.tova({budget: 64}),
  snapKv: keepers.snapKv({budget: 64, queries: 6}),
  keyDiff: keepers.keyDiff({budget: 64}),
  dropKv: keepers.dropKv({budget: 64, queries: 6}),
  expectedAttention: keepers.expectedAttention({budget: 64, queries: 6}),
};

/** Keepers whose tokens take over evicted ones, and with which codecs. */
const refitting = [
  ...(['heaviest', 'snapKv', 'window'] as const).map(name => ({
    keeper: `${name}, refitting`,
    keep: asKeeper({name, options: {budget: 64, refit: true}}),
    codecs: [
      'dense',
      'float8',
      'integer',
      'integer, rotated',
      'lowRank',
      'lowRank, 8 bit',
      'one for each side',
    ],
  })),
  ...(['lastUsed', 'mostUsed', 'tova', 'keyDiff', 'dropKv', 'expectedAttention'] as const).map(name => ({
    keeper: `${name}, refitting`,
    keep: asKeeper({name, options: {budget: 64, refit: true}}),
    codecs: ['dense'],
  })),
  ...(['heaviest', 'keyDiff'] as const).map(name => ({
    keeper: `${name}, refitting by least squares`,
    keep: asKeeper({name, options: {budget: 64, refit: 'leastSquares'}}),
    codecs: ['dense'],
  })),
];

interface Stored {
  readonly store: StoreLike;
  /** How far a stored number may lie from the one that came in. */
  readonly error: number;
  /** In place of the keeper's, for a codec that needs bytes. */
  readonly budget?: Budget;
}

const stored: Record<string, Stored> = {
  dense: {store: 'dense', error: 1e-6},
  float8: {store: 'float8', error: 0.3},
  integer: {store: {bits: 8, groupSize: 8}, error: 0.05},
  'integer, 4 bit, groups of tokens': {store: {bits: 4, groupAxis: 'channel', groupSize: 4}, error: 0.4},
  'integer, rotated': {store: {bits: 8, rotate: true, center: true}, error: 0.1},
  lowRank: {store: {name: 'lowRank', options: {rank: 4}}, error: Infinity},
  'lowRank, 8 bit': {
    store: {name: 'lowRank', options: {rank: 16, latents: {name: 'integer', options: {bits: 8}}}},
    error: Infinity,
  },
  onlineSvd: {store: {name: 'onlineSvd', options: {rank: 4, updateFreq: 5}}, error: Infinity},
  transform: {
    store: {
      name: 'transform',
      options: {
        bits: 5,
        near: 0,
        profile: randomProfileId({depths: 1, kvHeads: 2, dim: 16, rope: {theta: 100}}),
      },
    },
    error: 2,
  },
  'transform, some near': {
    store: {
      name: 'transform',
      options: {
        bits: 4,
        near: 32,
        profile: randomProfileId({depths: 1, kvHeads: 2, dim: 16, rope: {theta: 100}}),
      },
    },
    error: 2,
  },
  'transform, levels': {
    store: {
      name: 'transform',
      options: {
        bits: '6/4/2',
        near: 16,
        profile: randomProfileId({depths: 1, kvHeads: 2, dim: 16, rope: {theta: 100}}),
      },
    },
    error: 4,
    budget: '3kB',
  },
  'transform, without a profile': {store: {name: 'transform', options: {bits: 5, near: 16}}, error: 2},
  adaptive: {store: {name: 'adaptive', options: {tolerance: 0.2, groupSize: 4}}, error: 1.5},
  'one for each side': {
    store: {keys: {bits: 8, groupAxis: 'channel', groupSize: 8}, values: 'float8'},
    error: 0.3,
  },
};

const {batch, heads, kvHeads, dim, tokens} = {batch: 2, heads: 4, kvHeads: 2, dim: 16, tokens: 150};
const shapes = uniformShapes({depths: 1, heads, kvHeads, headDim: dim});
const rope = {theta: 100};
/** On cpu this takes minutes, and webgpu cannot be read at once. */
const backends = testBackends.filter(backend => backend === 'wasm' || backend === 'tensorflow');

describeOnBackends(
  'keepers and codecs',
  () => {
    let text: {queries: tf.Tensor4D; keys: tf.Tensor4D; values: tf.Tensor4D};
    let came: {keys: Float32Array; values: Float32Array};
    before(async () => {
      const random = (of: number, seed: number) =>
        tf.randomNormal<tf.Rank.R4>([batch, of, tokens, dim], 0, 1, 'float32', seed);
      text = {queries: random(heads, 1), keys: random(kvHeads, 2), values: random(kvHeads, 3)};
      const rotated = tf.tidy(() => rotate(text.keys, rotationFor(rope, dim, 0, tokens)));
      came = {keys: await rotated.data<'float32'>(), values: await text.values.data<'float32'>()};
      rotated.dispose();
    });
    after(() => tf.dispose(text));

    it('are all tested here', () => {
      const names = Object.keys(stored).map(name => name.split(',')[0]);
      expect(shipped(storeNames()).filter(name => !names.includes(name))).to.deep.equal([]);
      expect(shipped(keeperNames()).filter(name => !(name in kept))).to.deep.equal([]);
    });

    const feed = (cache: KVCache, from: number, count: number): Float32Array =>
      tf.tidy(() => {
        const cut = (x: tf.Tensor4D) => tf.slice(x, [0, 0, from, 0], [-1, -1, count, -1]);
        const fresh = {queries: cut(text.queries), keys: cut(text.keys), values: cut(text.values), rope};
        return cache.attend(0, fresh).dataSync<'float32'>().slice();
      });

    const pairs = [
      ...Object.entries(kept).map(([keeper, keep]) => ({
        keeper,
        keep,
        recent: 6,
        codecs: Object.keys(stored),
      })),
      ...refitting.map(pair => ({...pair, recent: 16})),
    ];
    for (const {keeper: keeperName, keep, recent, codecs} of pairs) {
      for (const codecName of codecs) {
        const {store, error, budget} = stored[codecName]!;
        if (budget !== undefined && keep.budget === undefined) continue; // refused: see levels.test.ts
        const within = budget === undefined ? keep : {name: keep.name, options: {...keep.options, budget}};
        const rule = () => policy({sinks: 2, recent, keep: within, store});

        it(`${keeperName}, ${codecName}: budget, positions, numbers and bytes hold after every step`, () => {
          const made = rule();
          using first = new KVCache(shapes, made);
          feed(first, 0, 40); // tables that all caches share are made once
          first.reset();
          const before = tf.memory().numBytes;
          const cache = new KVCache(shapes, made);
          for (const [from, count] of [[0, 40] as const, ...singles(40, 120), [120, 30] as const]) {
            feed(cache, from, count);
            const past = cache.past(0)!;
            expect(tokensHeld(past)).to.be.at.most(tokenBudget(made) ?? Infinity);
            expect(cache.byteSize).to.equal(tf.memory().numBytes - before);
            checkTokens(past, from + count, error, keep.refit === 'leastSquares');
          }
          if (keeperName === 'all') expect(tokensHeld(cache.past(0)!)).to.equal(tokens);
          else expect(cache.past(0)!.events.evictedTokens).to.be.above(20);
          cache.dispose();
        });

        it(`${keeperName}, ${codecName}: forks, snapshots and JSON continue alike; nothing leaks`, async () => {
          await expectNoLeak(async () => {
            const made = rule();
            const cache = new KVCache(shapes, made);
            feed(cache, 0, 90);
            for (const [from, count] of singles(90, 110)) feed(cache, from, count);
            const fork = cache.fork();
            const restored = await KVCache.restore(await cache.save(), shapes);
            const again = new KVCache(
              shapes,
              asPolicy(throughJson({name: made.name, options: made.options})),
            );
            feed(again, 0, 90);
            for (const [from, count] of singles(90, 110)) feed(again, from, count);
            const outputs = [cache, fork, restored, again].map(used =>
              singles(110, 130).map(([from, count]) => feed(used, from, count)),
            );
            for (const output of outputs) expect(output).to.deep.equal(outputs[0]);
            for (const used of [cache, fork, restored, again]) used.dispose();
          });
        });
      }
    }

    /** Each head holds distinct tokens, the first two and the last six exactly, and each number is near the one that came. */
    function checkTokens(past: Past, seen: number, error: number, isFitted: boolean): void {
      const tables = new RopeTables(rope, dim);
      const exact = new Set<number>();
      for (const position of [0, 1, ...Array.from({length: Math.min(6, seen)}, (_, i) => seen - 1 - i)])
        exact.add(position);
      const heard: number[][] = Array.from({length: batch * kvHeads}, () => []);
      tf.tidy(() => {
        for (const segment of segmentsOf(past)) {
          const {keys, values, positions} = decodeTokens(segment, {rope: tables, tokensSeen: seen});
          const at =
            typeof positions === 'number'
              ? undefined
              : tf.slice(positions, [0, 0, 0, 0], [-1, -1, segment.tokens, -1]).dataSync();
          const numbers = {keys: keys.data.dataSync(), values: values.data.dataSync()};
          const bias = segment.bias?.dataSync();
          heard.forEach((positionsOfHead, head) => {
            for (let token = 0; token < segment.tokens; token++) {
              const position = at?.[head * segment.tokens + token] ?? (positions as number) + token;
              positionsOfHead.push(position);
              const allowed = exact.has(position) ? 1e-5 : error;
              const tookOver = (bias?.[head * segment.tokens + token] ?? 0) > 0;
              const hasOtherValues = tookOver || (isFitted && !exact.has(position));
              for (const side of hasOtherValues ? (['keys'] as const) : (['keys', 'values'] as const)) {
                for (let channel = 0; channel < dim; channel++) {
                  const is = numbers[side][(head * segment.tokens + token) * dim + channel]!;
                  const was = came[side][(head * tokens + position) * dim + channel]!;
                  if (Math.abs(is - was) <= allowed || allowed === Infinity) continue;
                  expect.fail(`${side} of head ${head}, position ${position}: ${is}, came as ${was}`);
                }
              }
            }
          });
        }
      });
      tables.dispose();
      for (const positionsOfHead of heard) {
        expect(new Set(positionsOfHead).size, 'each token once').to.equal(positionsOfHead.length);
        expect(
          [...exact].filter(position => !positionsOfHead.includes(position) && position < seen),
        ).to.deep.equal([]);
      }
    }
  },
  backends,
);

const singles = (from: number, to: number) =>
  Array.from({length: to - from}, (_, i) => [from + i, 1] as const);
