import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {CacheStateError, ContextLengthError, InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {KVCache} from '../../../cache/index.js';
import {segmentsOf} from '../../../cache/past/past.js';
import {kvzip} from '../../../models/index.js';
import {watchText} from '../../../models/watch_text.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {rotate} from '../../../ops/rotate/index.js';
import {expectNoLeak} from '../../support/tensors.js';
import {rejection} from '../../base/files/rejection.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';

const [depths, heads, kvHeads, dim, sinks] = [2, 4, 2, 8, 4];
const context = characterTokenizer.encode('The lighthouse keeper counts 17 boats, and lights the lamp.');
const instruction = characterTokenizer.encode(' Again: ', {addSpecial: false});
const options = {chunk: 24, step: 7, instruction};

interface Attended {
  readonly queries: number[][][];
  readonly keys: number[][][];
  readonly values: number[][][];
}

describe('kvzip', () => {
  let model: tf.LayersModel;
  before(async () => {
    await useBackend('wasm');
    model = tinyModel(3);
  });
  after(() => model.dispose());

  /** What each depth attends with over a text in one pass: rotated queries and keys, and values, by head. */
  async function attendedOver(ids: readonly number[], model: tf.LayersModel): Promise<Attended[]> {
    const seen: Attended[] = [];
    const cache = new KVCache(model, 'full');
    const see = (
      _: number,
      {
        queries,
        keys,
        values,
        rotation,
      }: {
        queries: tf.Tensor4D;
        keys: tf.Tensor4D;
        values: tf.Tensor4D;
        rotation?: Parameters<typeof rotate>[1];
      },
    ) => {
      const rows = (x: tf.Tensor4D) => x.arraySync()[0]!;
      seen.push({
        queries: rows(rotate(queries, rotation!)),
        keys: rows(rotate(keys, rotation!)),
        values: rows(values),
      });
    };
    await watchText(model, ids, {chunk: ids.length, cache, watchers: [{see}]});
    cache.dispose();
    return seen;
  }

  /** W_O of each depth: `[heads * dim][model dim]`. */
  const projections = (model: tf.LayersModel) =>
    model.layers
      .filter(layer => 'layerShape' in layer)
      .map(
        layer =>
          layer.weights
            .find(({originalName}) => originalName.endsWith('output_kernel'))!
            .read()
            .arraySync() as number[][],
      );

  /** By depth and key head, the score of each token by its definition, one query at a time. */
  async function scoresByDefinition(model: tf.LayersModel): Promise<number[][][]> {
    const scores = Array.from({length: depths}, () =>
      Array.from({length: kvHeads}, () => Array<number>(context.length).fill(0)),
    );
    const outputs = projections(model);
    for (let from = 0; from < context.length; from += options.chunk) {
      const chunk = context.slice(from, from + options.chunk);
      const attended = await attendedOver([...context, ...instruction, ...chunk], model);
      for (const [depth, {queries, keys, values}] of attended.entries()) {
        for (let head = 0; head < heads; head++) {
          const kvHead = Math.floor(head / (heads / kvHeads));
          for (let q = context.length; q < queries[head]!.length; q++) {
            const visible = keys[kvHead]!.map((_, at) => at).filter(
              at =>
                (at < sinks || (at >= from && at < from + chunk.length) || at >= context.length) && at <= q,
            );
            const weights = visible.map(at => {
              const score = keys[kvHead]![at]!.reduce((sum, x, i) => sum + x * queries[head]![q]![i]!, 0);
              return Math.exp(score / Math.sqrt(dim));
            });
            const total = weights.reduce((sum, weight) => sum + weight, 0);
            visible.forEach((at, i) => {
              if (at < from || at >= from + chunk.length) return;
              const value = values[kvHead]![at]!;
              const output = outputs[depth]![0]!.map((_, column) =>
                value.reduce((sum, x, row) => sum + x * outputs[depth]![head * dim + row]![column]!, 0),
              );
              const score = (weights[i]! / total) * Math.hypot(...output);
              scores[depth]![kvHead]![at] = Math.max(scores[depth]![kvHead]![at]!, score);
            });
          }
        }
      }
    }
    return scores;
  }

  const heldBy = (cache: KVCache, depth: number): number[][] =>
    Array.from({length: kvHeads}, (_, head) =>
      segmentsOf(cache.past(depth)!).flatMap(({positions, tokens}) =>
        typeof positions === 'number'
          ? Array.from({length: tokens}, (_each, i) => positions + i)
          : [...positions.dataSync().slice(head * positions.shape[2], head * positions.shape[2] + tokens)],
      ),
    );

  /** Of each head, no token went that is worth more than one that stays; the first and the newest stay. */
  function expectWorthMost(cache: KVCache, depth: number, scores: number[][], rounding: number): void {
    const recent = context.length - cache.past(depth)!.recent.positions;
    heldBy(cache, depth).forEach((positions, head) => {
      const worth = (at: number) => scores[head]![at]!;
      const candidates = (at: number) => at >= sinks && at < context.length - recent;
      const all = context.map((_, at) => at);
      expect(positions).to.include.members(all.filter(at => !candidates(at)));
      const kept = positions.filter(candidates).map(worth);
      const gone = all.filter(at => candidates(at) && !positions.includes(at)).map(worth);
      expect(Math.min(...kept)).to.be.above(Math.max(...gone) * (1 - rounding));
    });
  }

  for (const plan of ['full', 'quantized:bits=8,groupSize=8,keyAxis=token,residual=8'] as const) {
    it(`keeps the tokens that the replay attends to most (${plan})`, async () => {
      const scores = await scoresByDefinition(model);
      const cache = new KVCache(model, plan);
      const seen: number[] = [];
      const cuts = await kvzip(model, cache, context, 30, {
        ...options,
        over: 'depth',
        onProgress: ({done, total}) => seen.push(done / total),
      });
      expect(seen.at(-1)).to.equal(1);
      for (const [depth, {keptTokens}] of cuts.entries()) {
        expect(keptTokens).to.be.at.most(30).and.above(20);
        expectWorthMost(cache, depth, scores[depth]!, plan === 'full' ? 1e-4 : 0.05);
      }
      cache.dispose();
    });
  }

  it('leaves depths with a narrow window alone, and takes a wide one for none', async () => {
    const [narrow, wide] = [tinyModel(3, [10]), tinyModel(3, [200, 200])];
    const cut = {...options, over: 'depth'} as const;
    const cache = new KVCache(narrow, 'full');
    await watchText(narrow, context, {chunk: 9, cache, watchers: []});
    const before = cache.report()[0]!.tokensHeld;
    expect(before).to.be.below(context.length);
    const cuts = await kvzip(narrow, cache, context, 30, cut);
    expect(cuts[0]).to.deep.equal({depth: 0, keptTokens: before, evictedTokens: 0});
    expect(cuts[1]).to.deep.equal({depth: 1, keptTokens: 30, evictedTokens: context.length - 30});
    expectWorthMost(cache, 1, (await scoresByDefinition(narrow))[1]!, 1e-4);

    const [without, within] = [new KVCache(model, 'full'), new KVCache(wide, 'full')];
    await kvzip(model, without, context, 30, cut);
    await kvzip(wide, within, context, 30, cut);
    for (const depth of [0, 1]) expect(heldBy(within, depth)).to.deep.equal(heldBy(without, depth));

    const both = tinyModel(3, [10, 12]);
    const other = new KVCache(both, 'full');
    await rejection(
      kvzip(both, other, context, 30, cut),
      ModelError,
      /a sliding window of 12 tokens at most/,
    );
    expect(other.tokens).to.equal(0);
    for (const each of [cache, without, within, other, narrow, wide, both]) each.dispose();
  });

  it('divides over the model, leaves a cache that goes on, and leaks nothing', async () => {
    await expectNoLeak(async () => {
      const cache = new KVCache(model, 'full');
      await watchText(model, context, {chunk: 20, cache, watchers: []});
      const cuts = await kvzip({model, tokenizer: characterTokenizer}, cache, context, 0.5, {
        chunk: 30,
        instruction: ' Again: ',
      });
      const kept = cuts.reduce((sum, {keptTokens}) => sum + keptTokens, 0);
      expect(kept).to.equal(2 * Math.round(context.length / 2));
      const fork = cache.fork();
      await watchText(model, instruction, {chunk: 3, cache: fork, watchers: []});
      expect(fork.tokens).to.equal(context.length + instruction.length);
      fork.dispose();
      cache.dispose();
    });
  });

  it('lets tokens that stay take over the others, if the cache kept queries for it', async () => {
    for (const refit of [true, 'leastSquares'] as const) {
      const cache = new KVCache(model, `snapKv:budget=null,queries=16,refit=${String(refit)}`);
      await kvzip(model, cache, context, 0.5, {...options, recent: 16, refit});
      for (const depth of [0, 1]) {
        const {bias} = cache.past(depth)!.held['stored']!;
        expect(Math.max(...bias!.dataSync())).to.be.within(0.01, 1.5);
      }
      cache.dispose();
    }
    const cache = new KVCache(model, 'full');
    await rejection(
      kvzip(model, cache, context, 0.5, {...options, recent: 16, refit: true}),
      CacheStateError,
      /^kvzip: .* newest 16 queries, which this cache did not keep/,
    );
    expect(cache.report()[0]!.tokensHeld).to.equal(context.length);
    cache.dispose();
  });

  it('refuses caches that evict, other contexts, and what does not fit', async () => {
    const refused = async (
      cache: KVCache,
      text: readonly number[],
      given: object,
      error: unknown,
      message: RegExp,
    ) => {
      const parts = 'contextLength' in given ? {model, contextLength: 70} : model;
      const caught = await kvzip(parts, cache, text, 0.5, options).catch((reason: unknown) => reason);
      expect(caught).to.be.instanceOf(error).with.property('message').that.matches(message);
      cache.dispose();
    };
    await refused(new KVCache(model, 'h2o'), context, {}, CacheStateError, /h2o evicts tokens/);
    const other = new KVCache(model, 'full');
    await watchText(model, context, {chunk: 64, cache: other, watchers: []});
    await refused(other, context.slice(1), {}, InvalidArgumentError, /holds \d+ tokens, and the context has/);
    await refused(new KVCache(model, 'full'), context, {contextLength: 70}, ContextLengthError, /holds 70/);
  });
});
