/**
 * What decoding saves by leaving values unread, and what that costs, on real text: random keys say nothing of it.
 *
 *     npx tsx bench/skipping.ts --model M --text FILE [--tokens 8192] [--steps 64] [--plan full]
 *         [--skip 'skipValues=0.01;skipValues=0.1'] [--yarn 4] [--fill quantized:bits=8] [--keep FOLDER] [--record]
 *
 * Reads the first `--tokens` tokens of a text into a cache of `--plan`, and copies it for each `--skip`, which is options of the same policy. All
 * caches then take the next `--steps` tokens of the text one at a time, in turns, and are compared with the first. Times are medians; `attention`
 * is what all depths take, rotations and appending included. `--yarn` scales the rotary positions by that factor, for texts beyond the model's
 * context. `--fill` is the plan that reads the text, if `--plan` takes too much time or memory: its tokens are decoded and stored again.
 * `--keep` keeps the filled cache there, for the next run. `--record` appends the run to bench/history/skipping.jsonl.
 */
import {existsSync} from 'node:fs';
import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {basename, join} from 'node:path';
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs';
import {mean, median, standardError} from '../base/statistics.js';
import {type AttentionCache, type FreshTokens, KVCache} from '../cache/index.js';
import {loadModel} from '../models/index.js';
import {idsOf} from '../models/model_like.js';
import {type Prediction, predictionsOf, referenceOf} from '../src/evaluate/compare_logits.js';
import {type Figure, record} from './support/history.js';

const {values} = parseArgs({
  options: {
    model: {type: 'string'},
    text: {type: 'string'},
    tokens: {type: 'string', default: '8192'},
    steps: {type: 'string', default: '64'},
    plan: {type: 'string', default: 'full'},
    skip: {
      type: 'string',
      default: 'skipValues=0.01;skipValues=0.1;skipValues=0.3',
    },
    yarn: {type: 'string'},
    fill: {type: 'string'},
    keep: {type: 'string'},
    record: {type: 'boolean', default: false},
  },
});
if (values.text === undefined) throw new Error('Give the file of a --text.');
const [tokens, steps] = [Number(values.tokens), Number(values.steps)];
using loaded = await loadModel(values.model);
const {model} = loaded;
const text = await readFile(values.text, 'utf8');
const ids = idsOf(loaded, text.slice(0, 8 * (tokens + steps))).slice(0, tokens + steps + 1);
if (ids.length <= tokens + steps)
  throw new Error(`The text has ${ids.length} tokens; --tokens and --steps take more.`);

/** A cache whose attention is timed, and whose positions may be scaled. */
class TimedCache implements AttentionCache {
  readonly beyondContext = true;
  ms = 0;

  constructor(readonly cache: KVCache) {}

  get tokens(): number {
    return this.cache.tokens;
  }

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const scaled = values.yarn === undefined ? fresh : {...fresh, rope: scaledRope(fresh)};
    const start = performance.now();
    const output = this.cache.attend(depth, scaled);
    this.ms += performance.now() - start;
    return output;
  }
}

function scaledRope({rope}: FreshTokens): FreshTokens['rope'] {
  const originalMaxPositions = loaded.config.contextLength;
  return {...rope, scaling: {type: 'yarn', factor: Number(values.yarn), originalMaxPositions}};
}

/** Takes ids in, and returns the logits of the last one. */
async function step(cache: AttentionCache, some: readonly number[]): Promise<Float32Array> {
  const logits = tf.tidy(() => {
    const output = model.apply(tf.tensor2d([...some], [1, some.length], 'int32'), {cache}) as tf.Tensor3D;
    return tf.slice(output, [0, some.length - 1, 0], [1, 1, -1]);
  });
  const numbers = await logits.data<'float32'>();
  logits.dispose();
  return numbers;
}

/** The cache after `tokens` tokens, from the folder of `--keep` if it has one. */
async function filled(plan: string): Promise<KVCache> {
  const name = `${basename(values.text!)}.${tokens}.${plan.replace(/\W+/g, '_')}.yarn${values.yarn ?? ''}.safetensors`;
  const file = values.keep === undefined ? undefined : join(values.keep, name);
  if (file !== undefined && existsSync(file)) return KVCache.restore(await readFile(file), model, plan);
  const cache = new KVCache(model, plan, {expectedTokens: tokens + steps, beyondContext: true});
  const timed = new TimedCache(cache);
  for (let at = 0; at < tokens; at += 256) await step(timed, ids.slice(at, Math.min(at + 256, tokens)));
  if (file !== undefined) {
    await mkdir(values.keep!, {recursive: true});
    await writeFile(file, await cache.save());
  }
  return cache;
}

const first = await filled(values.fill ?? values.plan);
if (values.fill !== undefined) await first.setPlan(values.plan);
const plans = [values.plan, ...values.skip.split(';').map(options => withOptions(values.plan, options))];
const runs = await Promise.all(
  plans.map(async (plan, index) => {
    const cache = index === 0 ? first : first.fork();
    await cache.setPlan(plan);
    return {
      plan,
      timed: new TimedCache(cache),
      attention: [] as number[],
      whole: [] as number[],
      seen: [] as Prediction[],
    };
  }),
);

function withOptions(plan: string, options: string): string {
  return `${plan}${plan.includes(':') ? ',' : ':'}${options}`;
}

for (let at = tokens; at < tokens + steps; at++) {
  let reference;
  for (const run of runs) {
    run.timed.ms = 0;
    const start = performance.now();
    const logits = await step(run.timed, [ids[at]!]);
    run.whole.push(performance.now() - start);
    run.attention.push(run.timed.ms);
    reference ??= referenceOf(logits, logits.length);
    run.seen.push(...predictionsOf(logits, reference, [ids[at + 1]!]));
  }
}

const base = runs[0]!;
const figures = runs.map(({plan, timed, attention, whole, seen}): Figure => {
  const report = timed.cache.report();
  const divergences = seen.map(({klDivergence}) => klDivergence);
  return {
    ...{tokens, plan, steps, ...(values.yarn !== undefined && {yarn: Number(values.yarn)})},
    attentionMs: rounded(median(attention)),
    stepMs: rounded(median(whole)),
    timesAsFast: rounded(median(base.attention) / median(attention)),
    valuesRead: rounded(1 - mean(report.map(({unreadValues}) => unreadValues ?? 0))),
    kl: rounded(mean(divergences)),
    klStderr: rounded(standardError(divergences)),
    top1: rounded(mean(seen.map(({agrees}) => Number(agrees)))),
    perplexity: rounded(Math.exp(mean(seen.map(({nll}) => nll)))),
    megabytes: rounded(timed.cache.byteSize / 1e6),
  };
});
console.table(figures);
if (values.record)
  await record({
    what: 'skipping',
    subject: `${basename(loaded.source, '.gguf')}, ${basename(values.text)}`,
    figures,
  });
for (const {timed} of runs) timed.cache.dispose();

function rounded(x: number): number {
  return Number(x.toPrecision(4));
}
