import type {FreshTokens} from '../../../cache/past/fresh_tokens.js';
import {svdError} from '../../../cache/codecs/online_svd.js';
import {type Codec, type Policy} from '../../../cache/contract.js';
import {codecPair} from '../../../cache/codecs/pair.js';
import {policy} from '../../../cache/policies/custom.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../../cache/kv_cache.js';
import type {Past} from '../../../cache/past/past.js';
import {perDepth} from '../../../cache/plans/index.js';
import {adaptive} from '../../../cache/policies/adaptive.js';
import {full} from '../../../cache/policies/full.js';
import {h2o} from '../../../cache/policies/h2o.js';
import {onlineSvd} from '../../../cache/policies/online_svd.js';
import {quantized} from '../../../cache/policies/quantized.js';
import {sliding} from '../../../cache/policies/sliding.js';
import type {Plan} from '../../../cache/plans/plan.js';
import {dense} from '../../../cache/past/segments.js';
import {hasRelaxedSimd} from '../../../ops/backends/relaxed_simd.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {rotate} from '../../../ops/rotate/index.js';
import {buildModel} from '../../../models/index.js';
import {monitor} from '../../../src/evaluate/monitor/monitor.js';
import {ExactBeside, attentionEntropies} from '../../../src/evaluate/monitor/exact_beside.js';
import {reconstructionSquares} from '../../../src/evaluate/monitor/reconstruction.js';
import {alibiSlopes} from '../../../ops/attention/scoring.js';
import {scoreOf, seenTokens} from '../../support/attention_oracle.js';
import {randomFloats} from '../../support/random.js';
import {type SeenTokens, WatchedCache} from '../../../cache/watch/watched_cache.js';
import {rejection} from '../../base/files/rejection.js';
import {attentionOracle} from '../../support/attention_oracle.js';
import {describeOnBackends} from '../../support/backends.js';
import {type GoldenArray, goldenTensor, readGolden} from '../../support/golden.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';

const text =
  'It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of folly.';
const ids = characterTokenizer.encode(text);
const coarse = quantized({bits: 2, groupSize: 8, residual: 8});

/** What the tiny model's two depths hold a token: two heads, keys and values of 8 numbers, 4 bytes each. */
const float32BytesPerToken = 2 * (8 + 8) * 4;

/** A policy of your own that stores numbers multiplied by factors, each token at once. */
function scaling(keyFactor: number, valueFactor: number): Policy {
  const codec = (factor: number): Codec => ({
    name: 'scaling',
    options: {factor},
    blockTokens: 1,
    encode: x => dense(tf.mul(x, factor)),
    errorBound: x => tf.mul(tf.abs(x), Math.abs(factor - 1)),
  });
  const store = codecPair({keys: codec(keyFactor), values: codec(valueFactor)});
  return {...policy({sinks: 0, recent: 0}), name: 'scaling', store: {...store, moveTokens: 1}};
}

describe('monitor', () => {
  let model: tf.LayersModel;
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

  it('says which part of the values was not read, if steps are short', async () => {
    const plan = full({skipValues: 1});
    const [alone, together] = [
      await monitor(loaded(), text, {plan, chunk: 1}),
      await monitor(loaded(), text, {plan, chunk: 64}),
    ];
    // a bound of 1: all values of less weight than the mean of those so far
    for (const row of [...alone.rows, alone.overall]) expect(row.unreadValues).to.be.within(0.01, 0.99);
    expect(together.overall).to.not.have.property('unreadValues');
  });

  it('finds the full cache without errors or events, at the size of float32', async () => {
    const {plan, rows, overall, timeline} = await monitor(loaded(), text, {plan: full(), chunk: 16});
    expect(plan).to.equal('full');
    expect(rows.map(({depth}) => depth)).to.deep.equal([0, 1]);
    const bytes = float32BytesPerToken * ids.length;
    for (const row of rows) {
      expect(row).to.include({
        policy: 'full',
        float32Bytes: bytes,
        compressedBytes: bytes,
        ratioToFloat32: 1,
      });
      expect(row).to.include({tokensSeen: ids.length, tokensHeld: ids.length});
      expect(row).to.include({keyError: 0, valueError: 0, outputError: 0});
      expect(row).to.include({blocksEncoded: 0, svdUpdates: 0, evictedTokens: 0});
    }
    expect(overall).to.include({
      float32Bytes: 2 * bytes,
      compressedBytes: 2 * bytes,
      ratioToFloat32: 1,
    });
    expect(overall).to.include({tokensSeen: ids.length, tokensHeld: ids.length});
    expect(timeline.map(({tokens}) => tokens)).to.deep.equal([16, 32, 48, 64, 80, 96, ids.length]);
    expect(timeline.at(-1)).to.deep.equal({
      text: 0,
      tokens: ids.length,
      float32Bytes: 2 * bytes,
      compressedBytes: 2 * bytes,
    });
  });

  it('shows at each depth what its own policy stored and did', async () => {
    const plan = perDepth([coarse, sliding({window: 24, sinks: 2})]);
    const {rows, overall, timeline} = await monitor(loaded(), [ids], {plan, chunk: 8});
    const {report, pasts} = byHand(plan, 8);
    for (const [depth, row] of rows.entries()) {
      const {byteSize: compressedBytes, float32Bytes, tokensHeld, tokensSeen} = report[depth]!;
      expect(row).to.include({
        depth,
        compressedBytes,
        float32Bytes,
        tokensHeld,
        tokensSeen,
        blocksEncoded: pasts[depth]!.events.blocksEncoded,
        svdUpdates: pasts[depth]!.events.svdUpdates,
        evictedTokens: pasts[depth]!.events.evictedTokens,
      });
      expect(row.ratioToFloat32).to.equal(compressedBytes / float32Bytes);
    }
    expect(rows[0]!.policy).to.equal('quantized:bits=2,groupSize=8,residual=8');
    expect(rows[0]!.blocksEncoded).to.be.above(1);
    expect(rows[1]!.policy).to.equal('sliding:window=24,sinks=2');
    expect(rows[1]!.evictedTokens).to.equal(ids.length - rows[1]!.tokensHeld);
    expect(rows[1]!.evictedTokens).to.be.above(50);

    const sum = (name: 'float32Bytes' | 'compressedBytes' | 'blocksEncoded' | 'evictedTokens') =>
      rows[0]![name] + rows[1]![name];
    for (const name of ['float32Bytes', 'compressedBytes', 'blocksEncoded', 'evictedTokens'] as const) {
      expect(overall[name], name).to.equal(sum(name));
    }
    expect(overall.ratioToFloat32).to.equal(sum('compressedBytes') / sum('float32Bytes'));
    expect(overall.tokensHeld).to.equal((rows[0]!.tokensHeld + rows[1]!.tokensHeld) / 2);
    expect(timeline.at(-1)!.compressedBytes).to.equal(sum('compressedBytes'));
  });

  it('measures errors of keys and values as they were made', async () => {
    const once = await monitor(loaded(), [text], {plan: scaling(1.25, 0.5), chunk: 1000});
    for (const row of [...once.rows, once.overall]) {
      expect(row.keyError).to.be.closeTo(0.25, 1e-5);
      expect(row.valueError).to.be.closeTo(0.5, 1e-5);
      expect(row.outputError).to.equal(0); // all tokens attended before anything was changed
    }
  });

  it('compares attention outputs with attention over the exact past, for the same queries', async () => {
    const {rows, overall} = await monitor(loaded(), [text], {plan: coarse, chunk: 16});
    const seen = recordTokens(coarse, 16);
    const sums = seen.map(outputErrorByHand);
    for (const [depth, {error, energy}] of sums.entries()) {
      const byDefinition = Math.sqrt(error / energy);
      expect(byDefinition).to.be.above(0.01); // else nothing was tested here
      expect(Math.abs(rows[depth]!.outputError / byDefinition - 1)).to.be.below(1e-4);
    }
    const pooled = Math.sqrt((sums[0]!.error + sums[1]!.error) / (sums[0]!.energy + sums[1]!.energy));
    expect(overall.outputError).to.be.closeTo(pooled, 1e-5);
  });

  it('finds what evicting policies keep exact, head by head', async () => {
    const evicting = h2o({heavyBudget: 16, recentBudget: 16, sinks: 1});
    const {rows} = await monitor(loaded(), [text], {plan: evicting, chunk: 8});
    for (const row of rows) {
      expect(row).to.include({keyError: 0, valueError: 0});
      expect(row.evictedTokens).to.be.above(50);
      expect(row.outputError).to.be.above(0.001);
    }
  });

  it('measures low-rank keys, stored before their rotation, as the fold itself does', async () => {
    // all tokens are folded at the end: 16 divides what came in
    const policy = onlineSvd({rank: 4, updateFreq: 16, sinks: 0});
    const {rows} = await monitor(loaded(), [ids.slice(0, 96)], {plan: policy, chunk: 16});
    const cache = cacheOf(policy, ids.slice(0, 96), 16);
    for (const [depth, row] of rows.entries()) {
      const past = cache.past(depth)!;
      for (const [side, error] of [
        ['key', row.keyError],
        ['value', row.valueError],
      ] as const) {
        const squared = tf.tidy(() => svdError(past, side)!.dataSync()[0]!);
        expect(Math.sqrt(squared)).to.be.above(0.05);
        expect(error, `${side}s of depth ${depth}`).to.be.closeTo(Math.sqrt(squared), 1e-3);
      }
      expect(row.svdUpdates).to.equal(6);
    }
    cache.dispose();
  });

  it('follows blocks that lie in several codecs', async () => {
    const tight = await monitor(loaded(), [text], {
      plan: adaptive({tolerance: 1e-9, residual: 8, groupSize: 8}),
      chunk: 8,
    });
    const loose = await monitor(loaded(), [text], {
      plan: adaptive({tolerance: 0.05, residual: 8, groupSize: 8}),
      chunk: 8,
    });
    expect(tight.overall).to.include({keyError: 0, valueError: 0}); // all of it exact
    expect(loose.overall.keyError).to.be.above(1e-3).and.below(0.5);
    expect(loose.overall.outputError).to.be.below(0.05);
    expect(loose.overall.ratioToFloat32).to.be.below(tight.overall.ratioToFloat32);
  });

  it('adds up texts', async () => {
    const texts = [ids, ids.slice(0, 50)];
    const both = await monitor(loaded(), texts, {plan: coarse, chunk: 16});
    const first = await monitor(loaded(), texts.slice(0, 1), {plan: coarse, chunk: 16});
    const second = await monitor(loaded(), texts.slice(1), {plan: coarse, chunk: 16});
    for (const [depth, row] of both.rows.entries()) {
      const [a, b] = [first.rows[depth]!, second.rows[depth]!];
      for (const name of [
        'float32Bytes',
        'compressedBytes',
        'tokensSeen',
        'tokensHeld',
        'blocksEncoded',
      ] as const) {
        expect(row[name], name).to.equal(a[name] + b[name]);
      }
      const share = a.tokensSeen / row.tokensSeen;
      expect(row.entropy).to.be.closeTo(share * a.entropy + (1 - share) * b.entropy, 1e-5);
      expect(row.keyError).to.be.within(Math.min(a.keyError, b.keyError), Math.max(a.keyError, b.keyError));
    }
    expect(both.timeline.filter(moment => moment.text === 1).map(({tokens}) => tokens)).to.deep.equal([
      16, 32, 48, 50,
    ]);
    // the first 50 tokens once more: no new direction
    expect(both.overall.valueRank).to.be.closeTo(first.overall.valueRank, 1);
  });

  it('gives the ranks of every key head, and their means', async () => {
    const {rows, overall, ranks} = await monitor(loaded(), [text], {plan: full()});
    expect(ranks).to.have.length(2 * 2 * 2);
    for (const {depth, keyRank, valueRank} of rows) {
      const of = (feature: string) =>
        ranks
          .filter(rank => rank.depth === depth && rank.feature === feature)
          .map(rank => rank.effectiveRank);
      expect(keyRank).to.equal((of('keys')[0]! + of('keys')[1]!) / 2);
      expect(valueRank).to.equal((of('values')[0]! + of('values')[1]!) / 2);
    }
    expect(overall.keyRank).to.equal((rows[0]!.keyRank + rows[1]!.keyRank) / 2);
  });

  it('cuts texts to the context and to tokens, and tells how far it is', async () => {
    const seen: number[] = [];
    const onProgress = ({done, total}: {done: number; total: number}) => {
      expect(total).to.equal(40);
      seen.push(done);
    };
    const {overall} = await monitor(loaded(40), [text], {plan: coarse, chunk: 16, onProgress});
    expect(overall.tokensSeen).to.equal(40);
    expect(seen).to.deep.equal([16, 32, 40]);
    expect((await monitor(loaded(), [text], {plan: coarse, tokens: 10})).overall.tokensSeen).to.equal(10);
  });

  it('watches models whose attention does not rotate', async () => {
    const config = {
      architecture: 'gpt2' as const,
      vocabSize: characterTokenizer.vocabSize,
      contextLength: 128,
      depths: 1,
      dim: 16,
      heads: 2,
      kvHeads: 2,
      headDim: 8,
      hiddenDim: 32,
      activation: 'geluNew' as const,
      normEpsilon: 1e-5,
      biases: {queryKeyValue: true, attentionOutput: true, feedForward: true},
      tiedEmbeddings: true,
    };
    const gpt2 = buildModel(config);
    const learned = {model: gpt2, tokenizer: characterTokenizer, config};
    const exact = await monitor(learned, [text], {plan: full(), chunk: 16});
    expect(exact.overall).to.include({keyError: 0, valueError: 0, outputError: 0});
    const {overall} = await monitor(learned, [ids.slice(0, 96)], {
      plan: onlineSvd({rank: 4, updateFreq: 16, sinks: 0}),
      chunk: 16,
    });
    expect(overall.keyError).to.be.above(0.01).and.below(1);
    expect(overall.outputError).to.be.above(1e-4).and.below(1);
    gpt2.dispose();
  });

  it('names what it cannot monitor', async () => {
    await rejection(monitor(loaded(), [], {plan: coarse}), InvalidArgumentError, /no texts/);
    await rejection(monitor(loaded(), [''], {plan: coarse}), InvalidArgumentError, /The text is empty/);
    await rejection(monitor(loaded(), [text], {plan: coarse, chunk: 0}), InvalidArgumentError, /chunk/);
    const noTexts: unknown[] = [5, null, coarse];
    for (const given of noTexts) {
      const message = /expected a list of ids/;
      await rejection(monitor(loaded(), given as string, {plan: coarse}), InvalidArgumentError, message);
    }
    const misspelt: object = {token: 3};
    await rejection(monitor(loaded(), [text], misspelt), InvalidArgumentError, /Did you mean "tokens"/);
    await rejection(monitor(loaded(), [text], {plan: perDepth([coarse])}), InvalidArgumentError, /1 depths/);
  });

  it('leaves no tensors behind, to the end or aborted', async () => {
    for (const policy of [coarse, h2o({heavyBudget: 16, recentBudget: 16}), onlineSvd({rank: 4})]) {
      await expectNoLeak(async () => {
        await monitor(loaded(), [text, text], {plan: policy, chunk: 16});
      });
    }
    await expectNoLeak(async () => {
      const abort = new AbortController();
      const options = {plan: coarse, chunk: 16, onProgress: () => abort.abort(), signal: abort.signal};
      await rejection(monitor(loaded(), [text], options), DOMException);
    });
  });

  function cacheOf(policy: Plan | Policy, tokens: readonly number[], step: number): KVCache {
    const cache = new KVCache(model, policy, {expectedTokens: tokens.length});
    for (let start = 0; start < tokens.length; start += step) take(cache, tokens.slice(start, start + step));
    return cache;
  }

  function take(cache: KVCache | WatchedCache, tokens: readonly number[]): void {
    tf.tidy(() => void model.apply(tf.tensor2d([...tokens], [1, tokens.length], 'int32'), {cache}));
  }

  function byHand(policy: Plan | Policy, step: number) {
    const cache = cacheOf(policy, ids, step);
    const report = cache.report();
    const pasts = report.map(({depth}): Past => cache.past(depth)!);
    cache.dispose();
    return {report, pasts};
  }

  interface Recorded {
    readonly queries: number[][];
    readonly keys: number[][];
    readonly values: number[][];
    readonly outputs: number[][];
  }

  /** Rotated queries and keys, values and outputs of every step by depth, on the host. */
  function recordTokens(policy: Policy, step: number): Recorded[] {
    const recorded: Recorded[] = [0, 1].map(() => ({queries: [], keys: [], values: [], outputs: []}));
    const see = (depth: number, {queries, keys, values, rotation}: SeenTokens, output: tf.Tensor4D) => {
      const into = recorded[depth]!;
      into.queries.push([...rotate(queries, rotation!).dataSync()]);
      into.keys.push([...rotate(keys, rotation!).dataSync()]);
      into.values.push([...values.dataSync()]);
      into.outputs.push([...output.dataSync()]);
    };
    const cache = new KVCache(model, policy);
    const watched = new WatchedCache(cache, [{see}]);
    for (let start = 0; start < ids.length; start += step) take(watched, ids.slice(start, start + step));
    watched.dispose();
    cache.dispose();
    return recorded;
  }
});

/** Sums of squares by the definition of attention in float64, step by step: 4 query heads, 2 key heads, dim 8. */
function outputErrorByHand({
  queries,
  keys,
  values,
  outputs,
}: {
  readonly queries: number[][];
  readonly keys: number[][];
  readonly values: number[][];
  readonly outputs: number[][];
}): {error: number; energy: number} {
  const dim = 8;
  let [error, energy, start] = [0, 0, 0];
  for (const [step, fresh] of queries.entries()) {
    const queryTokens = fresh.length / (4 * dim);
    const tokens = start + queryTokens;
    const {output} = attentionOracle({
      batch: 1,
      heads: 4,
      kvHeads: 2,
      queryTokens,
      capacity: tokens,
      tokens,
      dim,
      dimV: dim,
      scale: 1 / Math.sqrt(dim),
      firstQuery: start,
      queries: fresh,
      keys: joinTokens(keys.slice(0, step + 1), dim),
      values: joinTokens(values.slice(0, step + 1), dim),
    });
    for (const [i, exact] of output.entries()) {
      error += (outputs[step]![i]! - exact) ** 2;
      energy += exact ** 2;
    }
    start = tokens;
  }
  return {error, energy};
}

/** Steps of `[2 heads, tokens, dim]` as one `[2 heads, all tokens, dim]`. */
function joinTokens(steps: readonly number[][], dim: number): number[] {
  const headOf = (step: number[], head: number) =>
    step.slice((head * step.length) / 2, ((head + 1) * step.length) / 2);
  expect(steps.every(step => step.length % (2 * dim) === 0)).to.be.true;
  return [0, 1].flatMap(head => steps.flatMap(step => headOf(step, head)));
}

interface EntropyGolden {
  readonly features: {
    readonly theta: number;
    readonly queries: GoldenArray;
    readonly keys: GoldenArray;
    readonly attention: {readonly entropies: number[]; readonly renyi2s: number[]}[];
  };
}

describeOnBackends('attention entropies without the attention matrix', () => {
  const {features: golden} = readGolden('ranks/ranks.json') as EntropyGolden;
  const [batch, heads, tokens, dim] = golden.queries.shape as [number, number, number, number];

  it('are those of NumPy for every query, whether tokens come at once or in steps', async () => {
    for (const steps of [[tokens], [7, 1, tokens - 8]]) {
      const found: {entropy: tf.Tensor4D[]; renyi2: tf.Tensor4D[]} = {entropy: [], renyi2: []};
      const row = {depth: 0, heads, kvHeads: golden.keys.shape[1]!, dim, dimV: dim};
      const cache = new KVCache([row]);
      const see = (_: number, fresh: SeenTokens) => {
        const {recent} = cache.past(0)!;
        const entropies = attentionEntropies(rotate(fresh.queries, fresh.rotation!), recent, {
          scale: 1 / Math.sqrt(dim),
        });
        found.entropy.push(tf.keep(entropies.entropy));
        found.renyi2.push(tf.keep(entropies.renyi2));
      };
      const watched = new WatchedCache(cache, [{see}]);
      let start = 0;
      for (const step of steps) {
        tf.tidy(() => {
          const part = (array: GoldenArray) =>
            tf.slice(goldenTensor(array), [0, 0, start, 0], [-1, -1, step, -1]);
          const keys = part(golden.keys);
          const fresh: FreshTokens = {
            queries: part(golden.queries),
            keys,
            values: keys,
            rope: {theta: golden.theta},
          };
          watched.attend(0, fresh);
        });
        start += step;
      }
      const expected = (name: 'entropies' | 'renyi2s') =>
        tf.tensor4d(
          golden.attention.flatMap(head => head[name]),
          [batch, heads, tokens, 1],
        );
      // differences of numbers of a few units: plain ops in place of the kernels are off by 3.3e-6, kernels that fuse by 2.1e-6
      const tolerance = tf.getBackend() === 'wasm' && hasRelaxedSimd() ? 3.3e-6 : 2e-6;
      await expectClose(tf.concat(found.entropy, 2), expected('entropies'), tolerance, 'entropy');
      await expectClose(tf.concat(found.renyi2, 2), expected('renyi2s'), tolerance, 'Renyi-2');
      tf.dispose([found]);
      cache.dispose();
      watched.dispose();
    }
  });

  it('are ln of the number of tokens where all are alike, and 0 where there is one', async () => {
    const queries = tf.ones<tf.Rank.R4>([1, 1, 1, 4]);
    for (const tokens of [1, 50]) {
      const keys = dense(tf.ones([1, 1, tokens, 4]));
      const {entropy, renyi2} = attentionEntropies(queries, {keys, tokens}, {scale: 30});
      await expectClose(entropy, [Math.log(tokens)], 2e-5);
      await expectClose(renyi2, [Math.log(tokens)], 2e-5);
    }
  });
});

describeOnBackends('the exact text beside a cache', () => {
  const [heads, dim, tokens] = [3, 6, 30];
  for (const [name, options] of [
    ['within a window', {window: 6}],
    ['of capped scores', {softCap: 0.6, scale: 1}],
    ['with ALiBi', {alibi: true}],
    ['of all of them', {window: 9, softCap: 0.6, scale: 1, alibi: true}],
    // of 30 distances: a row of slopes is ALiBi
    ['with relative biases', {relative: true}],
  ] as const) {
    it(`attends ${name} as the cache does`, async () => {
      const [queries, keys, values] = [1, 2, 3].map(seed => randomFloats(seed, heads * tokens * dim));
      const cache = new KVCache([{depth: 0, heads, kvHeads: heads, dim, dimV: dim}]);
      const exact = new ExactBeside(tokens);
      const watched = new WatchedCache(cache, [exact]);
      for (let from = 0; from < tokens; from += 7) {
        tf.tidy(() => {
          const part = (x: Float32Array | undefined): tf.Tensor4D =>
            tf.slice(
              tf.tensor4d(x!, [1, heads, tokens, dim]),
              [0, 0, from, 0],
              [-1, -1, Math.min(7, tokens - from), -1],
            );
          const table = alibiSlopes(heads).flatMap(slope =>
            Array.from({length: tokens}, (_, i) => -slope * i),
          );
          const relativeBias = 'relative' in options ? tf.tensor2d(table, [heads, tokens]) : undefined;
          const scoring = 'relative' in options ? {relativeBias} : options;
          watched.attend(0, {queries: part(queries), keys: part(keys), values: part(values), ...scoring});
        });
      }
      const scale = 'scale' in options ? options.scale : 1 / Math.sqrt(dim);
      const problem = {
        ...{
          batch: 1,
          heads,
          kvHeads: heads,
          queryTokens: tokens,
          capacity: tokens,
          tokens,
          dim,
          dimV: dim,
          scale,
        },
        ...{queries: queries!, keys: keys!, values: values!, firstQuery: 0},
        softCap: 'softCap' in options ? options.softCap : undefined,
        window: 'window' in options ? {size: options.window, firstQuery: 0, positions: 0} : undefined,
        bias:
          'alibi' in options || 'relative' in options
            ? Array.from(
                {length: heads * tokens},
                (_, i) => alibiSlopes(heads)[Math.floor(i / tokens)]! * (i % tokens),
              )
            : undefined,
      };
      const expected = {entropy: 0, renyi2Entropy: 0};
      for (let row = 0; row < heads * tokens; row++) {
        const [from, to] = seenTokens(problem, row % tokens);
        const scores = Array.from({length: to - from}, (_, i) =>
          scoreOf(problem, row, Math.floor(row / tokens), from + i),
        );
        const sum = scores.reduce((total, score) => total + Math.exp(score), 0);
        const p = scores.map(score => Math.exp(score) / sum);
        expected.entropy -= p.reduce((total, of) => total + of * Math.log(of), 0);
        expected.renyi2Entropy -= Math.log(p.reduce((total, of) => total + of ** 2, 0));
      }
      const sums = await exact.depthSums(0);
      expect(sums.queries).to.equal(heads * tokens);
      expect(sums.entropy).to.be.closeTo(expected.entropy, 2e-3);
      expect(sums.renyi2Entropy).to.be.closeTo(expected.renyi2Entropy, 2e-3);
      expect(sums.outputError / sums.outputEnergy).to.be.below(1e-9);
      const squares = await reconstructionSquares(cache.past(0)!, exact.past(0).recent, undefined);
      expect(squares).to.include({keyError: 0, valueError: 0});
      expect(squares.keyEnergy).to.be.above(1);
      cache.dispose();
      exact.dispose();
      watched.dispose();
    });
  }
});
