/**
 * What policies cost beside attention: `npm run bench:bookkeeping [-- MODEL.gguf [TOKENS [POLICY ...]]]`.
 *
 * Fills a cache of the model with TOKENS random tokens, then decodes one token at a time. Bookkeeping is all that
 * `KVCache.attend` does beside attention itself: appending, observing, sealing, folding, evicting. Attention itself is
 * timed by asking the same queries of the same past once more.
 */
import * as tf from '@tensorflow/tfjs';
import {attendPast} from '../cache/attend_past.js';
import {
  type AttentionCache,
  KVCache,
  type FreshTokens,
  type Policy,
  parsePolicy,
  policyNames,
} from '../cache/index.js';
import {RopeTables} from '../cache/rope_tables.js';
import {findSmolLM2} from '../models/hub.js';
import {loadModel} from '../models/load_model.js';
import {useBackend} from '../ops/backends/use_backend.js';
import {mergePartials} from '../ops/merge_partials/index.js';
import {rotate} from '../ops/rotate/index.js';

const measuredSteps = 96;

/** Passes everything on to a cache and sums up where the time goes. */
class TimedCache implements AttentionCache {
  attendMs = 0;
  totalMs = 0;
  private readonly tables: RopeTables[] = [];
  constructor(private readonly cache: KVCache) {}

  get tokens(): number {
    return this.cache.tokens;
  }

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const start = performance.now();
    const output = this.cache.attend(depth, fresh);
    const end = performance.now();
    this.totalMs += end - start;
    this.attendAgain(depth, fresh);
    this.attendMs += performance.now() - end;
    return output;
  }

  /** The same attention over the same past: what a policy compressed in this step hardly changes its size. */
  private attendAgain(depth: number, {queries, rope}: FreshTokens): void {
    const past = this.cache.past(depth)!;
    const dim = queries.shape[3];
    tf.tidy(() => {
      const tables = rope && (this.tables[depth] ??= new RopeTables(rope, dim));
      const rotated = tables ? rotate(queries, tables.rotation(past.tokensSeen - 1, 1)) : queries;
      mergePartials(attendPast(past, rotated, {scale: 1 / Math.sqrt(dim), ...(tables && {rope: tables})}));
    });
  }

  dispose(): void {
    for (const tables of this.tables) tables.dispose();
    this.cache.dispose();
  }
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

async function measure(
  model: tf.LayersModel,
  vocabSize: number,
  policy: Policy,
  tokens: number,
): Promise<Row> {
  const cache = new KVCache(model, policy, {expectedTokens: tokens + measuredSteps});
  const timed = new TimedCache(cache);
  const next = (count: number) =>
    tf.tidy(() => {
      const ids = Array.from({length: count}, (_, i) => (7919 * (cache.tokens + i) + 13) % vocabSize);
      return model.apply(tf.tensor2d(ids, [1, count], 'int32'), {
        cache: count === 1 ? timed : cache,
        lastTokenOnly: true,
      }) as tf.Tensor;
    });
  for (let left = tokens; left > 0; left -= 64) next(Math.min(64, left)).dispose();
  const steps: {step: number; attention: number; bookkeeping: number}[] = [];
  for (let i = 0; i < measuredSteps; i++) {
    timed.attendMs = timed.totalMs = 0;
    const start = performance.now();
    const logits = next(1);
    await logits.data();
    logits.dispose();
    const step = performance.now() - start - timed.attendMs;
    steps.push({step, attention: timed.attendMs, bookkeeping: timed.totalMs - timed.attendMs});
  }
  timed.dispose();
  const sum = (pick: (step: (typeof steps)[number]) => number) =>
    steps.reduce((total, step) => total + pick(step), 0);
  const sorted = steps.map(({step}) => step).sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1]!;
  const worst = sorted.at(-1)!;
  return {
    policy: policy.name,
    stepMs: sum(({step}) => step) / measuredSteps,
    attentionMs: sum(({attention}) => attention) / measuredSteps,
    bookkeepingMs: sum(({bookkeeping}) => bookkeeping) / measuredSteps,
    bookkeepingShare: sum(({bookkeeping}) => bookkeeping) / sum(({step}) => step),
    worstStepMs: worst,
    worstOverMedian: worst / median,
  };
}

async function main(): Promise<void> {
  const [path = await findSmolLM2(), tokens = '4096', ...named] = process.argv.slice(2);
  await useBackend('wasm');
  const {model, config, name, dispose} = await loadModel(path);
  const policies = named.length > 0 ? named : policyNames();
  console.log(`${name}: ${tokens} tokens in the cache, then ${measuredSteps} steps of one token; means, ms`);
  const rows: Row[] = [];
  for (const policy of policies) {
    rows.push(await measure(model, config.vocabSize, parsePolicy(policy), Number(tokens)));
    const {stepMs, attentionMs, bookkeepingMs, bookkeepingShare, worstStepMs, worstOverMedian} = rows.at(-1)!;
    const cells = [stepMs, attentionMs, bookkeepingMs].map(ms => ms.toFixed(2).padStart(8));
    console.log(
      `${policy.padEnd(28)} step ${cells[0]!}  attention ${cells[1]!}  bookkeeping ${cells[2]!} (${(100 * bookkeepingShare).toFixed(1)} %)` +
        `  worst step ${worstStepMs.toFixed(1)} = ${worstOverMedian.toFixed(1)} x the median`,
    );
  }
  dispose();
}

await main();
