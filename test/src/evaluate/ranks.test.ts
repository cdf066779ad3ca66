import type {FreshTokens} from '../../../cache/past/fresh_tokens.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../../cache/kv_cache.js';
import {sliding} from '../../../cache/policies/sliding.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {analyzeRanks} from '../../../src/evaluate/ranks/analyze_ranks.js';
import {AttentionWindow} from '../../../src/evaluate/ranks/attention_window.js';
import {FeatureGrams} from '../../../cache/watch/feature_grams.js';
import {featureRanks} from '../../../src/evaluate/ranks/feature_ranks.js';
import {randomRankShare} from '../../../src/evaluate/ranks/random_matrix.js';
import {type SeenTokens, WatchedCache, type Watcher} from '../../../cache/watch/watched_cache.js';
import {weightSpectra} from '../../../src/evaluate/ranks/weight_spectra.js';
import {weightSummary} from '../../../src/evaluate/ranks/weight_summary.js';
import {rejection} from '../../base/files/rejection.js';
import {describeOnBackends} from '../../support/backends.js';
import {type GoldenArray, goldenTensor, readGolden} from '../../support/golden.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';
import {feedForward} from '../../../layers/index.js';

interface RanksGolden {
  readonly features: {
    readonly energy: number;
    readonly theta: number;
    readonly queries: GoldenArray;
    readonly keys: GoldenArray;
    readonly values: GoldenArray;
    readonly features: {
      readonly feature: string;
      readonly kvHead: number;
      readonly effective: number;
      readonly stable: number;
      readonly s: number[];
    }[];
    readonly attention: {
      readonly effective: number;
      readonly stable: number;
      readonly entropy: number;
      readonly renyi2: number;
    }[];
  };
  readonly random: {
    readonly rows: number;
    readonly columns: number;
    readonly shares: Record<string, number>;
  }[];
  readonly weights: {
    readonly weight: GoldenArray;
    readonly ranks: Record<'0.9' | '0.99', number>;
    readonly stable: number;
  }[];
}

const golden = readGolden('ranks/ranks.json') as RanksGolden;
const {energy, theta, features, attention} = golden.features;
const [batch, heads, tokens, dim] = golden.features.queries.shape as [number, number, number, number];
const kvHeads = golden.features.keys.shape[1]!;
const row = {depth: 0, heads, kvHeads, dim, dimV: dim};

/** Tokens `from .. to` of the golden features. */
function goldenTokens(from: number, to: number): FreshTokens {
  const slice = (array: GoldenArray) =>
    tf.slice(goldenTensor(array), [0, 0, from, 0], [-1, -1, to - from, -1]);
  const {queries, keys, values} = golden.features;
  return {queries: slice(queries), keys: slice(keys), values: slice(values), rope: {theta}};
}

/** Sends the golden features through a watched cache, step by step. */
function watchGolden(steps: readonly number[], watchers: readonly Watcher[]): void {
  const cache = new KVCache([row]);
  const watched = new WatchedCache(cache, watchers);
  let start = 0;
  for (const step of steps) {
    tf.tidy(() => void watched.attend(0, goldenTokens(start, start + step)));
    start += step;
  }
  watched.dispose();
  cache.dispose();
}

describeOnBackends('ranks of features', () => {
  for (const steps of [[tokens], [1, 2, 5, tokens - 8]]) {
    it(`are those of the matrices themselves, in steps of ${steps.join(', ')}`, async () => {
      const grams = new FeatureGrams();
      watchGolden(steps, [grams]);
      const ranks = await featureRanks(grams, undefined, energy);
      grams.dispose();
      expect(grams.tokens).to.equal(batch * tokens);
      expect(ranks).to.have.length(features.length);
      for (const {feature, kvHead, effective, stable, s} of features) {
        const found = ranks.find(rank => rank.feature === feature && rank.kvHead === kvHead)!;
        const what = `${feature} of head ${kvHead}`;
        expect(found, what).to.include({depth: 0, dim, effectiveRank: effective});
        expect(found.stableRank, what).to.be.closeTo(stable, 1e-4);
        // squares in float32: singular values are right to 1e-6 of the largest ones
        await expectClose(
          found.singularValues.map(value => value / s[0]!),
          s.map(value => value / s[0]!),
          1e-5,
          what,
        );
      }
    });
  }

  it('watch only the sides that were asked for, and no rotation where there is none', async () => {
    const grams = new FeatureGrams({sides: ['keys', 'rotatedKeys']});
    const cache = new KVCache([row]);
    const watched = new WatchedCache(cache, [grams]);
    tf.tidy(() => {
      const {queries, keys, values} = goldenTokens(0, 4);
      watched.attend(0, {queries, keys, values});
    });
    const ranks = await featureRanks(grams);
    expect(ranks.map(({feature}) => feature)).to.deep.equal(Array(kvHeads).fill('keys'));
    for (const owned of [grams, cache, watched]) owned.dispose();
  });

  it('leave no tensors behind', () =>
    expectNoLeak(async () => {
      const grams = new FeatureGrams();
      const window = new AttentionWindow();
      watchGolden([20, 4], [grams, window]);
      await featureRanks(grams);
      await window.ranks();
      grams.dispose();
      window.dispose();
    }));
});

describeOnBackends('attention matrices', () => {
  it('have the ranks and entropies of softmax(Q K^T)', async () => {
    const window = new AttentionWindow();
    watchGolden([tokens], [window]);
    const ranks = await window.ranks(energy);
    window.dispose();
    expect(ranks).to.have.length(batch * heads);
    for (const [index, expected] of attention.entries()) {
      const found = ranks[index]!;
      expect(found).to.include({depth: 0, head: index, tokens, effectiveRank: expected.effective});
      expect(found.stableRank).to.be.closeTo(expected.stable, 1e-4);
      expect(found.entropy).to.be.closeTo(expected.entropy, 1e-5);
      expect(found.renyi2Entropy).to.be.closeTo(expected.renyi2, 1e-5);
    }
  });

  it('are those of the first step of a text alone', async () => {
    const window = new AttentionWindow();
    watchGolden([6, tokens - 6], [window]);
    const ranks = await window.ranks(energy);
    window.dispose();
    expect(ranks.map(rank => rank.tokens)).to.deep.equal(Array(batch * heads).fill(6));
  });
});

describe('WatchedCache', () => {
  before(() => useBackend('wasm'));

  it('passes everything on, and says where tokens stand', async () => {
    const seen: {depth: number; start: number; tokens: number; output: tf.Tensor4D}[] = [];
    const watcher: Watcher = {
      see: (depth: number, fresh: SeenTokens, output: tf.Tensor4D) =>
        void seen.push({
          depth,
          start: fresh.start,
          tokens: fresh.keys.shape[2],
          output: tf.keep(tf.clone(output)),
        }),
    };
    // a policy that evicts: positions must not follow what is still held
    const rows = [row, {...row, depth: 1}];
    const plain = new KVCache(rows, sliding({window: 8, sinks: 2}));
    const watchedCache = new KVCache(rows, sliding({window: 8, sinks: 2}));
    const watched = new WatchedCache(watchedCache, [watcher]);
    let start = 0;
    for (const step of [10, 6, 1]) {
      for (const depth of [0, 1]) {
        const fresh = goldenTokens(start, start + step);
        const expected = plain.attend(depth, fresh);
        const output = watched.attend(depth, fresh);
        await expectClose(output, expected, 0);
        const last = seen.at(-1)!;
        expect(last).to.include({depth, start, tokens: step});
        await expectClose(last.output, expected, 0);
        const {queries, keys, values} = fresh;
        tf.dispose([output, expected, last.output, queries, keys, values]);
      }
      start += step;
      expect(watched.tokens).to.equal(start);
    }
    for (const owned of [plain, watchedCache, watched]) owned.dispose();
  });
});

describe('analyzeRanks', () => {
  let model: tf.LayersModel;
  const text = 'It was the best of times, it was the worst of times, it was the age of wisdom';
  const loaded = (contextLength = 1024) => ({
    model,
    tokenizer: characterTokenizer,
    contextLength,
  });

  before(async () => {
    await useBackend('wasm');
    model = tinyModel(3);
  });
  after(() => void model.dispose());

  it('looks at every head of every depth, and averages attention over texts', async () => {
    const ids = characterTokenizer.encode(text);
    const both = await analyzeRanks(loaded(), [text, ids.slice(0, 20)], {window: 16});
    const first = await analyzeRanks(loaded(), [ids], {window: 16});
    const second = await analyzeRanks(loaded(), [ids.slice(0, 20)], {window: 16});
    expect(both.tokens).to.equal(ids.length + 20);
    // 2 depths, 6 features, 2 key heads; 2 depths, 4 heads
    expect(both.features).to.have.length(24);
    expect(both.attention).to.have.length(8);
    for (const [index, {depth, head, ...mean}] of both.attention.entries()) {
      expect([depth, head]).to.deep.equal([Math.floor(index / 4), index % 4]);
      for (const name of ['tokens', 'effectiveRank', 'stableRank', 'entropy', 'renyi2Entropy'] as const) {
        const expected = (first.attention[index]![name] + second.attention[index]![name]) / 2;
        expect(mean[name], name).to.be.closeTo(expected, 1e-9);
      }
    }
  });

  it('cuts texts to the tokens asked for and to the context, and tells how far it is', async () => {
    const seen: number[] = [];
    const onProgress = ({done, total}: {done: number; total: number}) => {
      expect(total).to.equal(40);
      seen.push(done);
    };
    const {tokens: used} = await analyzeRanks(loaded(40), [text], {window: 16, onProgress});
    expect(used).to.equal(40);
    expect(seen).to.deep.equal([16, 32, 40]);
    expect((await analyzeRanks(loaded(), [text], {tokens: 7})).tokens).to.equal(7);
  });

  it('names what it cannot analyse, and ends when it is told to, without tensors left', async () => {
    await rejection(analyzeRanks(loaded(), []), InvalidArgumentError, /no texts/);
    await rejection(analyzeRanks(loaded(), ['a', ' ']), InvalidArgumentError, /Text 1 is empty/);
    await rejection(analyzeRanks(loaded(), [[]]), InvalidArgumentError, /The text has no tokens/);
    await rejection(analyzeRanks(loaded(), [text], {energy: 2}), InvalidArgumentError, /energy/);
    await expectNoLeak(async () => {
      const abort = new AbortController();
      const options = {window: 16, onProgress: () => abort.abort(), signal: abort.signal};
      await rejection(analyzeRanks(loaded(), [text], options), DOMException);
    });
    await expectNoLeak(async () => await analyzeRanks(loaded(), [text]).then(() => undefined));
  });
});

describe('randomRankShare', () => {
  for (const {rows, columns, shares} of golden.random) {
    it(`is that of random matrices of ${rows} x ${columns}`, () => {
      for (const [share, expected] of Object.entries(shares)) {
        // a rank is a whole number, 0.003 to 0.007 of the full ranks here, and it rounds up
        expect(randomRankShare(rows, columns, Number(share)), share).to.be.closeTo(expected, 0.006);
        expect(randomRankShare(columns, rows, Number(share))).to.equal(
          randomRankShare(rows, columns, Number(share)),
        );
      }
    });
  }

  it('is 1 for all of the energy, and names what it does not take', () => {
    expect(randomRankShare(100, 300, 1)).to.be.closeTo(1, 1e-4);
    expect(randomRankShare(64, 64, 1)).to.be.closeTo(1, 1e-3);
    for (const args of [
      [0, 3, 0.9],
      [3, 3, 0],
      [3, 3, 1.1],
      [NaN, 3, 0.9],
    ] as [number, number, number][]) {
      expect(() => randomRankShare(...args)).to.throw(InvalidArgumentError, /rows = /);
    }
  });
});

describe('weight spectra', () => {
  before(() => useBackend('wasm'));

  it('find the ranks of known matrices', async () => {
    const [low, noise] = golden.weights;
    // up is 32 x 48 of noise, down is [48, 32] of the low-rank matrix with rows of zeros
    const layer = feedForward({hiddenDim: 48, gated: false});
    const input = tf.input({shape: [null, 32]});
    const model = tf.model({inputs: input, outputs: layer.apply(input) as tf.SymbolicTensor});
    const weights = [
      tf.tensor2d(noise!.weight.data, [32, 48]),
      tf.concat([tf.tensor2d(low!.weight.data, [32, 32]), tf.zeros([16, 32])]),
    ];
    layer.setWeights(weights);
    const [up, down] = await weightSpectra(model);
    expect(up).to.include({depth: 0, weight: 'up', rows: 32, columns: 48, fullRank: 32});
    expect(down).to.include({depth: 0, weight: 'down', rows: 48, columns: 32, fullRank: 32});
    for (const [found, expected] of [
      [up!, noise!],
      [down!, low!],
    ] as const) {
      expect(found.effectiveRank90).to.equal(expected.ranks['0.9']);
      expect(found.effectiveRank99).to.equal(expected.ranks['0.99']);
      expect(found.stableRank).to.be.closeTo(expected.stable, 1e-4);
      expect(found.randomRank90).to.equal(32 * randomRankShare(32, 48, 0.9));
    }
    model.dispose();
    tf.dispose(weights);
  });

  it('go through all matrices of a model, and leave it as it was', async () => {
    const model = tinyModel(5);
    const seen: number[] = [];
    await expectNoLeak(async () => {
      seen.length = 0;
      const spectra = await weightSpectra(model, {
        onProgress: ({done, total}) => {
          expect(total).to.equal(14);
          seen.push(done);
        },
      });
      const names = ['query', 'key', 'value', 'output', 'gate', 'up', 'down'];
      expect(spectra.map(({weight}) => weight)).to.deep.equal([...names, ...names]);
      expect(spectra.map(({depth}) => depth)).to.deep.equal([...names.map(() => 0), ...names.map(() => 1)]);
    });
    expect(seen).to.deep.equal(Array.from({length: 14}, (_, i) => i + 1));
    model.dispose();
    const other = tf.sequential({layers: [tf.layers.dense({units: 2, inputShape: [2]})]});
    await rejection(weightSpectra(other), InvalidArgumentError, /no attention/);
    other.dispose();
  });

  it('sum up by kind and group, and call low rank what is so beside random matrices', () => {
    const spectrum = (weight: 'query' | 'key' | 'up', effectiveRank90: number) => ({
      depth: 0,
      weight,
      rows: 100,
      columns: 100,
      fullRank: 100,
      effectiveRank90,
      effectiveRank99: 2 * effectiveRank90,
      randomRank90: 50,
      randomRank99: 80,
      stableRank: 4,
      singularValues: [1],
    });
    const rows = weightSummary([
      spectrum('query', 10),
      spectrum('query', 20),
      spectrum('key', 45),
      spectrum('up', 49),
    ]);
    expect(rows.map(({weight, matrices, verdict}) => [weight, matrices, verdict])).to.deep.equal([
      ['query', 2, 'low rank'],
      ['key', 1, 'as random'],
      ['up', 1, 'as random'],
      ['attention', 3, 'lower than random'],
      ['feedForward', 1, 'as random'],
    ]);
    expect(rows[0]).to.deep.include({randomShare90: 0.5, randomShare99: 0.8, stableRank: 4});
    expect(rows[0]!.share90).to.be.closeTo(0.15, 1e-12);
    expect(rows[0]!.share99).to.be.closeTo(0.3, 1e-12);
    expect(rows[0]!.toRandom).to.be.closeTo(0.3, 1e-12);
    expect(rows[3]!.toRandom).to.be.closeTo((0.2 + 0.4 + 0.9) / 3, 1e-12);
  });

  it('of random weights are as random', async () => {
    const layer = feedForward({hiddenDim: 256, gated: false});
    const input = tf.input({shape: [null, 128]});
    const model = tf.model({inputs: input, outputs: layer.apply(input) as tf.SymbolicTensor});
    const weights = [
      tf.tensor2d(randomFloats(1, 128 * 256), [128, 256]),
      tf.tensor2d(randomFloats(2, 128 * 256), [256, 128]),
    ];
    layer.setWeights(weights);
    for (const row of weightSummary(await weightSpectra(model))) {
      expect(row.verdict).to.equal('as random');
      expect(row.toRandom).to.be.closeTo(1, 0.02);
    }
    model.dispose();
    tf.dispose(weights);
  });
});
