/**
 * What policies cost apart from attention: `npm run bench:bookkeeping [-- MODEL.gguf [TOKENS [POLICY ...]]]`.
 *
 * Fills a cache of the model's shape with TOKENS random tokens, then adds one token at a time at every depth. Bookkeeping is
 * all that `KVCache.attend` does apart from attention itself: rotating, appending, observing, encoding, updating the SVD, evicting.
 * Attention itself is timed by asking the same queries of the same past once more. A step is the model's own part,
 * measured once, and `attend` at all depths.
 */
import * as tf from '@tensorflow/tfjs';
import {attendPast} from '../cache/past/attend_past.js';
import {
  type AttentionCache,
  KVCache,
  type FreshTokens,
  type Policy,
  asPolicy,
  policyNames,
} from '../cache/index.js';
import {RopeTables} from '../cache/past/rope_tables.js';
import {findSmolLM2} from '../models/hub/index.js';
import {loadModel} from '../models/load.js';
import {useBackend} from '../ops/backends/use_backend.js';
import {rotate} from '../ops/rotate/index.js';
import {median} from '../base/statistics.js';

const measuredSteps = 96;

/** Tokens of one depth as a model hands them over: what `attend` is given. */
type Shape = Pick<FreshTokens, 'rope'> & {
  readonly heads: number;
  readonly kvHeads: number;
  readonly dim: number;
};

/** Writes down what a model hands over, and answers with nothing. */
class ShapeWatcher implements AttentionCache {
  readonly tokens = 0;
  readonly shapes: Shape[] = [];

  attend(depth: number, {queries, keys, rope}: FreshTokens): tf.Tensor4D {
    const dim = queries.shape[3];
    this.shapes[depth] = {heads: queries.shape[1], kvHeads: keys.shape[1], dim, rope};
    return tf.zerosLike(queries);
  }
}

function randomTokens({heads, kvHeads, dim, rope}: Shape, tokens: number): FreshTokens {
  const random = (count: number) => tf.randomNormal<tf.Rank.R4>([1, count, tokens, dim]);
  return {queries: random(heads), keys: random(kvHeads), values: random(kvHeads), rope};
}

interface Row {
  policy: string;
  stepMs: number;
  attentionMs: number;
  bookkeepingMs: number;
  bookkeepingShare: number;
  worstStepMs: number;
  worstOverMedian: number;
}

function measure(shapes: readonly Shape[], policy: Policy, tokens: number, modelMs: number): Row {
  const rows = shapes.map(({heads, kvHeads, dim}, depth) => ({depth, heads, kvHeads, dim, dimV: dim}));
  const cache = new KVCache(rows, policy, {expectedTokens: tokens + measuredSteps});
  const [first] = shapes;
  const tables = first?.rope && new RopeTables(first.rope, first.dim);
  tf.tidy(() => void tables?.upTo(tokens + measuredSteps));
  for (let left = tokens; left > 0; left -= 256) {
    shapes.forEach((shape, depth) =>
      tf.tidy(() => void cache.attend(depth, randomTokens(shape, Math.min(256, left)))),
    );
  }
  const steps = Array.from({length: measuredSteps}, () => {
    let attend = 0;
    let attention = 0;
    shapes.forEach((shape, depth) =>
      tf.tidy(() => {
        const fresh = randomTokens(shape, 1);
        const start = performance.now();
        cache.attend(depth, fresh);
        const middle = performance.now();
        attendAgain(cache, depth, fresh.queries, tables);
        attend += middle - start;
        attention += performance.now() - middle;
      }),
    );
    return {step: modelMs + attend, attention, bookkeeping: attend - attention};
  });
  tables?.dispose();
  cache.dispose();
  const sum = (pick: (step: (typeof steps)[number]) => number) =>
    steps.reduce((total, step) => total + pick(step), 0);
  const stepTimes = steps.map(({step}) => step);
  const worst = Math.max(...stepTimes);
  return {
    policy: policy.name,
    stepMs: sum(({step}) => step) / measuredSteps,
    attentionMs: sum(({attention}) => attention) / measuredSteps,
    bookkeepingMs: sum(({bookkeeping}) => bookkeeping) / measuredSteps,
    bookkeepingShare: sum(({bookkeeping}) => bookkeeping) / sum(({step}) => step),
    worstStepMs: worst,
    worstOverMedian: worst / median(stepTimes),
  };
}

/** The same attention over the same past: what a policy compressed in this step hardly changes its size. */
function attendAgain(cache: KVCache, depth: number, queries: tf.Tensor4D, rope?: RopeTables): void {
  const past = cache.past(depth)!;
  const rotated = rope ? rotate(queries, rope.rotation(past.tokensSeen - 1, 1)) : queries;
  attendPast(past, rotated, {scale: 1 / Math.sqrt(queries.shape[3]), rope});
}

/** The median time of a step of the model without its attention, in ms. */
async function modelTime(model: tf.LayersModel, cache: AttentionCache): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    const logits = tf.tidy(() => model.apply(tf.tensor2d([7 + i], [1, 1], 'int32'), {cache}) as tf.Tensor);
    await logits.data();
    logits.dispose();
    times.push(performance.now() - start);
  }
  return median(times);
}

async function main(): Promise<void> {
  const [path = await findSmolLM2(), tokens = '4096', ...named] = process.argv.slice(2);
  await useBackend('wasm');
  const {model, name, dispose} = await loadModel(path);
  const watcher = new ShapeWatcher();
  const modelMs = await modelTime(model, watcher);
  const policies = named.length > 0 ? named : policyNames();
  console.log(
    `${name}: ${tokens} tokens in the cache, then ${measuredSteps} steps of one token; means, ms; the model without attention takes ${modelMs.toFixed(1)}`,
  );
  for (const policy of policies) {
    const {stepMs, attentionMs, bookkeepingMs, bookkeepingShare, worstStepMs, worstOverMedian} = measure(
      watcher.shapes,
      asPolicy(policy),
      Number(tokens),
      modelMs,
    );
    const cells = [stepMs, attentionMs, bookkeepingMs].map(ms => ms.toFixed(2).padStart(8));
    console.log(
      `${policy.padEnd(28)} step ${cells[0]!}  attention ${cells[1]!}  bookkeeping ${cells[2]!} (${(100 * bookkeepingShare).toFixed(1)} %)` +
        `  worst step ${worstStepMs.toFixed(1)} = ${worstOverMedian.toFixed(1)} x the median`,
    );
  }
  dispose();
}

await main();
