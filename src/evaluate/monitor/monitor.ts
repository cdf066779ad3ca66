import type {PolicyLike} from '../../../cache/policies/as_policy.js';
import {asPlan} from '../../../cache/plans/as_plan.js';
import * as v from 'valibot';
import {KVCache} from '../../../cache/kv_cache.js';
import {atLeast, checkOptions} from '../../../base/options.js';
import type {Plan} from '../../../cache/plans/plan.js';
import {ExactBeside} from './exact_beside.js';
import {reconstructionSquares} from './reconstruction.js';
import type {MonitorMoment, MonitorReport} from './report.js';
import {type Totals, addDepths, addTexts, measuresOf, totalsOf, withBytes} from './totals.js';
import {policyLabel} from '../policy_label.js';
import {FeatureGrams} from '../../../cache/watch/feature_grams.js';
import {type FeatureRank, featureRanks} from '../ranks/feature_ranks.js';
import {type TextOrIds, type WatchedModel, measuredIds} from '../ranks/measured_texts.js';
import {type ProgressOptions, countSteps, watchText} from '../ranks/watch_text.js';
import {mean} from '../statistics.js';

export interface MonitorOptions extends ProgressOptions {
  /** Tokens that come into the cache at a time: they attend exactly among themselves, then compressed. Default 64. */
  readonly step?: number;
  /** Of each text, the first so many tokens; never more than the model's context. Default 1024. */
  readonly maxTokens?: number;
}

const schema = v.strictObject({
  step: v.optional(atLeast(1), 64),
  maxTokens: v.optional(atLeast(1), 1024),
});

/**
 * Watches a plan at work, depth by depth: bytes, ranks and entropies of what comes in, errors of what is stored and of the
 * attention over it, and what the policies did. Texts go through the compressed cache in steps, each through a fresh one.
 *
 * Beside it runs a full cache that gets the same queries, keys and values, so that a depth's output error is its own: the
 * errors of the depths before it are in its input on both sides. It takes about twice an evaluation's time.
 *
 * @param loaded a loaded model, or its parts.
 * @param plan which policy stands where; a single policy stands everywhere.
 * @throws InvalidArgumentError where texts, plan or options are not fit; the signal's reason.
 */
export async function monitor(
  loaded: WatchedModel,
  texts: readonly TextOrIds[],
  plan: Plan | PolicyLike,
  {onProgress, signal, ...numbers}: MonitorOptions = {},
): Promise<MonitorReport> {
  const {step, maxTokens} = checkOptions('monitor', schema, numbers);
  const {model} = loaded;
  const idsOfTexts = measuredIds(loaded, texts, maxTokens);
  signal?.throwIfAborted();
  const afterStep = countSteps(
    idsOfTexts.reduce((sum, {length}) => sum + length, 0),
    onProgress,
    signal,
  );
  const grams = new FeatureGrams({sides: ['keys', 'values']});
  const totals: Totals[] = [];
  let sharedBytes = 0;
  const timeline: MonitorMoment[] = [];
  try {
    for (const [text, ids] of idsOfTexts.entries()) {
      const expectedTokens = ids.length;
      const cache = new KVCache(model, plan, {expectedTokens});
      const exact = new ExactBeside(expectedTokens);
      try {
        await watchText(model, ids, {
          step,
          cache,
          watchers: [exact, grams],
          afterStep: tokens => {
            timeline.push({text, ...sizeOf(cache)});
            return afterStep(tokens);
          },
        });
        for (const [depth, ofText] of (await measureText(cache, exact)).entries()) {
          totals[depth] = addTexts(totals[depth], ofText);
        }
        sharedBytes += cache.sharedBytes;
      } finally {
        cache.dispose();
        exact.dispose();
      }
    }
    return {
      ...reportOf(totals, sharedBytes, await featureRanks(grams, ['keys', 'values']), asPlan(plan)),
      timeline,
    };
  } finally {
    grams.dispose();
  }
}

/** What the caches of one text say at its end, by depth. */
async function measureText(cache: KVCache, exact: ExactBeside): Promise<Totals[]> {
  const totals: Totals[] = [];
  for (const report of cache.report()) {
    const {depth} = report;
    const past = cache.past(depth)!;
    const squares = await reconstructionSquares(
      past,
      exact.past(depth).recent,
      exact.ropeOf(depth),
      exact.latentsOf(depth),
    );
    totals.push(totalsOf(report, past.events, await exact.depthSums(depth), squares));
  }
  return totals;
}

function reportOf(
  totals: readonly Totals[],
  sharedBytes: number,
  ranks: readonly FeatureRank[],
  plan: Plan,
): Omit<MonitorReport, 'timeline'> {
  const rankOf = (feature: 'keys' | 'values', depth?: number) =>
    mean(
      ranks
        .filter(rank => rank.feature === feature && (depth === undefined || rank.depth === depth))
        .map(rank => rank.effectiveRank),
    );
  const rows = totals.map((ofDepth, depth) => ({
    depth,
    policy: policyLabel(plan.policyFor(depth, totals.length)),
    keyRank: rankOf('keys', depth),
    valueRank: rankOf('values', depth),
    ...measuresOf(ofDepth),
  }));
  const overall = {
    policy: policyLabel(plan),
    keyRank: rankOf('keys'),
    valueRank: rankOf('values'),
    ...measuresOf(withBytes(addDepths(totals), sharedBytes)),
  };
  return {rows, overall, ranks};
}

function sizeOf(cache: KVCache): Omit<MonitorMoment, 'text'> {
  return {
    tokens: cache.tokens,
    float32Bytes: cache.report().reduce((sum, depth) => sum + depth.float32Bytes, 0),
    compressedBytes: cache.byteSize,
  };
}
