import * as v from 'valibot';
import {atLeast, checkOptions} from '../../../base/options.js';
import {mean} from '../../../base/statistics.js';
import {layerShapes} from '../../../cache/binding/attention_layers.js';
import {KVCache} from '../../../cache/kv_cache.js';
import {type PlanLike, asPlan} from '../../../cache/plans/as_plan.js';
import {planOfLayers} from '../../../cache/plans/of_layers.js';
import {FeatureGrams} from '../../../cache/watch/feature_grams.js';
import {
  type ModelLike,
  type TextLike,
  contextLengthOf,
  idsOfTexts,
  modelOf,
} from '../../../models/model_like.js';
import {type ProgressOptions, countProgress, progressEntries} from '../../../models/progress.js';
import {watchText} from '../../../models/watch_text.js';
import {calibrationDrift} from '../../../cache/watch/calibration_drift.js';
import {float32BytesOf} from '../cache_bytes.js';
import {type CalibratedLosses, calibratedLosses} from '../certificate/calibrated.js';
import {type DriftSummary, driftSummary} from '../certificate/drift_summary.js';
import {planLabel} from '../plan_label.js';
import {type FeatureRank, featureRanks} from '../ranks/feature_ranks.js';
import {ExactBeside} from './exact_beside.js';
import {reconstructionSquares} from './reconstruction.js';
import type {MonitorMoment, MonitorReport} from './report.js';
import {type Totals, addDepths, addTexts, measuresOf, totalsOf, withBytes} from './totals.js';

export interface MonitorOptions extends ProgressOptions {
  /** The plan to measure. Default: the policies that the model's layers ask for, otherwise `full`. */
  readonly plan?: PlanLike;
  /** Use only the first tokens of each text, at most this many and at most the model's context. Default 1024. */
  readonly tokens?: number;
  /** Tokens per forward pass. They attend to each other exactly and are compressed afterwards. Default 64. */
  readonly chunk?: number;
}

const schema = v.strictObject({
  plan: v.optional(v.custom<PlanLike>(() => true)), // checked by asPlan
  tokens: v.optional(atLeast(1), 1024),
  chunk: v.optional(atLeast(1), 64),
  ...progressEntries,
});

/**
 * Measures what a plan does at each depth while a model runs over texts: bytes, ranks of keys and values, entropies of attention, errors
 * of stored tokens and of attention outputs, and counts of encoded blocks, SVD updates and evictions. Each text has a fresh cache.
 *
 * A full cache gets the same queries, keys and values. The output error of a depth is therefore its own: errors of earlier depths are in
 * the input of both caches. A run takes about twice as long as an evaluation.
 *
 * @param model what `loadModel` returns, or a `tf.LayersModel`, which takes ids.
 * @param texts a text, its ids, or a list of texts and lists of ids. `onProgress` counts tokens, of all texts.
 * @throws InvalidArgumentError if texts, plan or options are not allowed; the signal's reason.
 */
export async function monitor(
  model: ModelLike,
  texts: TextLike | readonly TextLike[],
  options: MonitorOptions = {},
): Promise<MonitorReport> {
  const {plan: given, tokens: most, chunk, ...progress} = checkOptions('monitor', schema, options);
  const tfModel = modelOf(model);
  const plan = given === undefined ? planOfLayers(layerShapes(tfModel)) : asPlan(given);
  const idsOfAll = idsOfTexts(model, texts, Math.min(most, contextLengthOf(model)));
  const tokens = idsOfAll.reduce((sum, {length}) => sum + length, 0);
  const afterChunk = countProgress(tokens, progress);
  const grams = new FeatureGrams({sides: ['keys', 'values']});
  const totals: Totals[] = [];
  let sharedBytes = 0;
  let drift: DriftSummary | undefined;
  let calibrated: CalibratedLosses | undefined;
  const timeline: MonitorMoment[] = [];
  try {
    for (const [text, ids] of idsOfAll.entries()) {
      const cache = new KVCache(tfModel, plan, {expectedTokens: ids.length});
      const exact = new ExactBeside(ids.length);
      try {
        await watchText(tfModel, ids, {
          chunk,
          cache,
          watchers: [exact, grams],
          afterChunk: fresh => {
            timeline.push({text, ...sizeOf(cache)});
            return afterChunk(fresh);
          },
        });
        for (const [depth, ofText] of (await measureText(cache, exact)).entries()) {
          totals[depth] = addTexts(totals[depth], ofText);
        }
        sharedBytes += cache.sharedBytes;
        const ofText = driftSummary(await calibrationDrift(cache));
        if (ofText !== undefined && (drift === undefined || ofText.drift > drift.drift)) drift = ofText;
        calibrated ??= await calibratedLosses(cache);
      } finally {
        cache.dispose();
        exact.dispose();
      }
    }
    const policies = totals.map((_, depth) => planLabel(plan.policyFor(depth, totals.length, tfModel)));
    const ranks = await featureRanks(grams, ['keys', 'values']);
    return {
      plan: planLabel(plan),
      tokens,
      chunk,
      ...summarize(totals, sharedBytes, ranks, {policies, calibrated}),
      timeline,
      ...(drift && {drift}),
    };
  } finally {
    grams.dispose();
  }
}

/** The totals of one text by depth, when all its tokens were processed. */
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
    totals.push(totalsOf(report, past, await exact.depthSums(depth), squares));
  }
  return totals;
}

function summarize(
  totals: readonly Totals[],
  sharedBytes: number,
  ranks: readonly FeatureRank[],
  {policies, calibrated}: {policies: readonly string[]; calibrated: CalibratedLosses | undefined},
): Pick<MonitorReport, 'rows' | 'overall' | 'ranks'> {
  const rankOf = (feature: 'keys' | 'values', depth?: number) =>
    mean(
      ranks
        .filter(rank => rank.feature === feature && (depth === undefined || rank.depth === depth))
        .map(rank => rank.effectiveRank),
    );
  const rows = totals.map((ofDepth, depth) => ({
    depth,
    policy: policies[depth]!,
    ...predicted(calibrated?.depths[depth]),
    keyRank: rankOf('keys', depth),
    valueRank: rankOf('values', depth),
    ...measuresOf(ofDepth),
  }));
  const overall = {
    ...predicted(calibrated?.predictedKl),
    keyRank: rankOf('keys'),
    valueRank: rankOf('values'),
    ...measuresOf(withBytes(addDepths(totals), sharedBytes)),
  };
  return {rows, overall, ranks};
}

const predicted = (predictedKl: number | undefined) => predictedKl !== undefined && {predictedKl};

function sizeOf(cache: KVCache): Omit<MonitorMoment, 'text'> {
  return {
    tokens: cache.tokens,
    float32Bytes: float32BytesOf(cache),
    compressedBytes: cache.byteSize,
  };
}
