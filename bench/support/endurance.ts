import {outputMetricOf} from '../../cache/binding/output_metric.js';
import type {Policy} from '../../cache/contract.js';
import * as tf from '@tensorflow/tfjs';
import {type AttentionCache, KVCache, tokenBudget} from '../../cache/index.js';
import {seededRandom} from '../../base/random.js';
import {sampleToken} from '../../models/generate/sampling.js';
import {evictionRuleOf} from './eviction_rule.js';
import {KeeperReplay} from './keeper_replay.js';
import {type ScoreDrift, ScoreReplay} from './score_replay.js';
import {type Drift, TokenLog} from './token_log.js';

/** How a cache stood at one moment of a long run. */
export interface Checkpoint {
  /** Tokens that came in so far. */
  readonly tokens: number;
  readonly seconds: number;
  /** Of the cache: codes, positions, scores, spare room. */
  readonly cacheBytes: number;
  /** Of all of tfjs, and how many tensors. */
  readonly tfBytes: number;
  readonly tensors: number;
  /** Resident memory of the process, with whatever the garbage collector has not got to yet. */
  readonly rss: number;
  /** Tokens that a head holds, the most over all depths. */
  readonly held: number;
  readonly drift: Drift;
  /** So far; absent if the policy does not go by attention. */
  readonly scores?: ScoreDrift;
}

export interface EnduranceReport {
  readonly policy: string;
  readonly tokens: number;
  readonly seconds: number;
  readonly checkpoints: readonly Checkpoint[];
  /** (most - fewest) / fewest bytes of the cache, from the second checkpoint on: the first fills the budget. */
  readonly bytesSpread: number;
  /** Tensors and bytes of tfjs that were there at the end, the cache disposed of, and not at the start. */
  readonly leakedTensors: number;
  readonly leakedBytes: number;
  readonly worstDrift: Omit<Drift, 'tokens'>;
  /** At the end, if the policy uses attention scores. */
  readonly scores?: ScoreDrift;
  /** Logits of the prompt through a new cache are the same bits before and after. */
  readonly modelIntact: boolean;
  /** What is wrong; empty if nothing is. */
  readonly faults: readonly string[];
}

export interface EnduranceOptions {
  readonly policy: Policy;
  readonly tokens: number;
  readonly prompt: readonly number[];
  /** Default 20. */
  readonly checkpoints?: number;
  /** Default 1. */
  readonly seed?: number;
  readonly onCheckpoint?: (checkpoint: Checkpoint) => void;
}

/** What rounding may do to a key: float32 has 2^-24, a rotation sums two products of two rounded numbers. */
const keyTolerance = 5e-7;

/**
 * Generates `tokens` tokens (temperature 0.9) through one cache, and sees at each checkpoint that bytes and tensors are flat,
 * numbers finite, the budget held, and every key and value that is held the one that came in at its position. Where the policy
 * goes by attention, a replay in float64 judges its scores and every eviction.
 */
export async function endure(
  model: tf.LayersModel,
  {policy, tokens, prompt, checkpoints = 20, seed = 1, onCheckpoint}: EnduranceOptions,
): Promise<EnduranceReport> {
  const start = performance.now();
  const reference = await logitsOf(model, prompt, new KVCache(model), true);
  for (const layer of model.layers) outputMetricOf(layer)?.(); // once for all caches
  const before = tf.memory();
  const cache = new KVCache(model, policy, {beyondContext: true});
  const log = new TokenLog(cache);
  const rule = evictionRuleOf(policy);
  const replay = rule
    ? new ScoreReplay(cache, rule, log)
    : KeeperReplay.knows(policy)
      ? new KeeperReplay(cache, policy, log)
      : undefined;
  const random = seededRandom(seed);
  const seen: Checkpoint[] = [];
  const every = Math.ceil(tokens / checkpoints);
  let next = prompt;
  for (let done = 0; done < tokens; done++) {
    const logits = await logitsOf(model, next, replay ?? log);
    next = [sampleToken(logits, {temperature: 0.9}, random)]; // throws where logits are not finite
    if ((done + 1) % every !== 0 && done + 1 !== tokens) continue;
    const checkpoint = {
      tokens: done + 1,
      seconds: (performance.now() - start) / 1000,
      cacheBytes: cache.byteSize,
      tfBytes: tf.memory().numBytes,
      tensors: tf.memory().numTensors,
      rss: process.memoryUsage().rss,
      held: Math.max(...cache.report().map(({tokensHeld}) => tokensHeld)),
      drift: await log.compare(),
      ...(replay && {scores: await replay.compare()}),
    };
    seen.push(checkpoint);
    onCheckpoint?.(checkpoint);
  }
  const scores = seen.at(-1)?.scores;
  cache.dispose();
  const after = tf.memory();
  const again = await logitsOf(model, prompt, new KVCache(model), true);
  return judged(policy, {
    policy: policy.name,
    tokens,
    seconds: (performance.now() - start) / 1000,
    checkpoints: seen,
    bytesSpread: spread(seen.slice(1).map(({cacheBytes}) => cacheBytes)),
    leakedTensors: after.numTensors - before.numTensors,
    leakedBytes: after.numBytes - before.numBytes,
    worstDrift: {
      keys: worst(seen.map(({drift}) => drift.keys)),
      values: worst(seen.map(({drift}) => drift.values)),
    },
    scores,
    modelIntact: reference.every((logit, i) => Object.is(logit, again[i])),
  });
}

function judged(policy: Policy, report: Omit<EnduranceReport, 'faults'>): EnduranceReport {
  const {checkpoints, bytesSpread, leakedTensors, leakedBytes, worstDrift, scores, modelIntact} = report;
  const flat = checkpoints.slice(1);
  const held = Math.max(...checkpoints.map(row => row.held));
  const faults: string[] = [];
  const check = (good: boolean, fault: string): void => {
    if (!good) faults.push(fault);
  };
  check(bytesSpread <= 0.01, `the cache's bytes spread by ${(100 * bytesSpread).toFixed(2)} %`);
  check(spread(flat.map(row => row.tfBytes)) <= 0.01, "tfjs' bytes are not flat");
  check(new Set(flat.map(row => row.tensors)).size <= 1, 'the number of tensors is not constant');
  check(
    held <= (tokenBudget(policy) ?? Infinity),
    `a head held ${held} tokens of a budget of ${tokenBudget(policy)}`,
  );
  check(leakedTensors === 0 && leakedBytes === 0, `${leakedTensors} tensors, ${leakedBytes} bytes leaked`);
  check(worstDrift.keys <= keyTolerance, `keys drifted by ${worstDrift.keys}`);
  check(worstDrift.values === 0, `values drifted by ${worstDrift.values}`);
  check(scores === undefined || scores.faults.length === 0, scores?.faults.slice(0, 3).join('; ') ?? '');
  check(modelIntact, "the model's weights changed");
  return {...report, faults};
}

/** Of the last token. The cache is disposed if it is `temporary`. */
async function logitsOf(
  model: tf.LayersModel,
  ids: readonly number[],
  cache: AttentionCache,
  temporary = false,
): Promise<Float32Array> {
  const logits = tf.tidy(
    () =>
      model.apply(tf.tensor2d([...ids], [1, ids.length], 'int32'), {cache, lastTokenOnly: true}) as tf.Tensor,
  );
  const numbers = await logits.data<'float32'>();
  logits.dispose();
  if (temporary && cache instanceof KVCache) cache.dispose();
  return numbers;
}

const spread = (numbers: readonly number[]): number =>
  numbers.length === 0 ? 0 : (Math.max(...numbers) - Math.min(...numbers)) / Math.min(...numbers);

/** The largest; NaN if one is NaN. */
const worst = (numbers: readonly number[]): number => Math.max(...numbers);
