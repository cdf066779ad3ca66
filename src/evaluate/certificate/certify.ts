import * as v from 'valibot';
import {InvalidArgumentError} from '../../../base/errors.js';
import {atLeast, checkOptions} from '../../../base/options.js';
import {layerShapes} from '../../../cache/binding/attention_layers.js';
import {KVCache} from '../../../cache/kv_cache.js';
import {type PlanLike, asPlan} from '../../../cache/plans/as_plan.js';
import {perDepth} from '../../../cache/plans/per_depth.js';
import type {Plan} from '../../../cache/plans/plan.js';
import {full} from '../../../cache/policies/full.js';
import {type ModelLike, type TextLike, idsOf, modelOf} from '../../../models/model_like.js';
import {type ProgressOptions, progressEntries} from '../../../models/progress.js';
import {evaluate} from '../evaluate.js';
import type {EvaluationRow} from '../evaluation.js';
import {planLabel} from '../plan_label.js';
import {calibratedLosses} from './calibrated.js';

export interface CertifyOptions extends ProgressOptions {
  /** The plan to certify. */
  readonly plan: PlanLike;
  /** Use only the first tokens of the text, at most this many. Default 512, the length of the windows of a calibration. */
  readonly tokens?: number;
  /** Tokens per forward pass. They attend to each other exactly and are compressed afterwards. Default 64. */
  readonly chunk?: number;
}

/** One depth: what it costs if all others are exact. */
export interface DepthCertificate {
  readonly depth: number;
  /** Its policy, as on the command line. */
  readonly policy: string;
  /** Bytes of the depth in the cache of the plan / tokens, spare room included. What depths share is in `whole.bytesPerToken` only. */
  readonly bytesPerToken: number;
  /** KL divergence by the calibration, nats per token; absent if it cannot be predicted. */
  readonly predictedKl?: number;
  /** KL(full || plan), nats per token, with only this depth's tokens compressed; and its standard error. 0 for exact depths. */
  readonly klDivergence: number;
  readonly klStderr: number;
}

/** What a plan was expected to cost, and what it costs. */
export interface Certificate {
  /** The plan, as on the command line. */
  readonly plan: string;
  /** Tokens of the text that were measured. */
  readonly tokens: number;
  /** Tokens per forward pass. */
  readonly chunk: number;
  /** Names of the texts that the model was calibrated on; absent if it has no profile. */
  readonly calibratedOn?: readonly string[];
  /** The full cache on the same tokens. */
  readonly full: EvaluationRow;
  /** The plan, with the predicted divergence and the drift from the calibration. */
  readonly whole: EvaluationRow;
  readonly depths: readonly DepthCertificate[];
  /**
   * The sum of the divergences of all depths, each compressed alone. As far as it is that of the plan, errors of different depths neither
   * add to nor cancel one another.
   */
  readonly sumOfDepths: number;
}

const schema = v.strictObject({
  plan: v.custom<PlanLike>(given => given !== undefined, 'expected a plan'),
  tokens: v.optional(atLeast(3), 512),
  chunk: v.optional(atLeast(1), 64),
  ...progressEntries,
});

/** Caches that run side by side: each holds the exact tokens of all depths but one. */
const sideBySide = 5;

/**
 * Measures a plan on a text, and each of its depths alone with all others exact, beside what the model's profile predicts.
 *
 *     const {whole, depths, sumOfDepths} = await certify(model, text, {plan: '0.1x'});
 *
 * The prediction is the metric of the loss applied to the errors of tokens as the calibration saw them (see `predictedLosses`). It is of
 * contexts as long as the windows of the calibration, 512 tokens, and of texts like its own; `whole.drift` says how far this text is
 * from them.
 *
 * @param model what `loadModel` returns, or a `tf.LayersModel`, which takes ids. `onProgress` counts tokens, of all passes.
 * @throws InvalidArgumentError if the text, the plan or an option is not allowed; what `evaluate` throws; the signal's reason.
 */
export async function certify(
  model: ModelLike,
  text: TextLike,
  options: CertifyOptions,
): Promise<Certificate> {
  const {plan: given, tokens, chunk, onProgress, signal} = checkOptions('certify', schema, options);
  const plan = asPlan(given);
  if (planLabel(plan) === 'full') {
    throw new InvalidArgumentError('certify: the plan full loses nothing; give another one, such as "0.1x".');
  }
  const tfModel = modelOf(model);
  const shapes = layerShapes(tfModel);
  const ids = idsOf(model, text, 'text').slice(0, tokens);
  const policies = shapes.map(({depth}) => plan.policyFor(depth, shapes.length, tfModel));
  const coded = shapes.flatMap(({depth}) =>
    policies[depth]!.store.exact === true && policies[depth]!.keep.budget === undefined ? [] : [depth],
  );
  const alone = (depth: number) => perDepth(policies.map((policy, at) => (at === depth ? policy : full())));
  const plans: Plan[] = [plan, ...coded.map(alone)];
  const passes = plans.length + Math.ceil(plans.length / sideBySide);
  const rows: EvaluationRow[] = [];
  let reference: EvaluationRow | undefined;
  for (let first = 0; first < plans.length; first += sideBySide) {
    const before = first + Math.ceil(first / sideBySide);
    const found = await evaluate(model, [ids], {
      ...{chunk, signal, plans: plans.slice(first, first + sideBySide)},
      onProgress: ({done}) => onProgress?.({done: before * ids.length + done, total: passes * ids.length}),
    });
    reference ??= found.rows[0]!;
    rows.push(...found.rows.slice(1));
  }
  const [whole, ...depthRows] = rows;
  const calibrated = await ofEmptyCache(new KVCache(tfModel, plan), cache =>
    calibratedLosses(cache, ids.length),
  );
  const depths = policies.map((policy, depth): DepthCertificate => {
    const row = depthRows[coded.indexOf(depth)];
    const predictedKl = calibrated?.depths[depth];
    return {
      ...{depth, policy: planLabel(policy), bytesPerToken: whole!.bytesPerTokenOfDepths![depth]!},
      ...(predictedKl !== undefined && {predictedKl}),
      klDivergence: row?.klDivergence ?? 0,
      klStderr: row?.klStderr ?? 0,
    };
  });
  return {
    ...{plan: planLabel(plan), tokens: ids.length, chunk},
    ...(calibrated && {calibratedOn: calibrated.texts}),
    ...{full: reference!, whole: whole!, depths},
    sumOfDepths: depths.reduce((sum, {klDivergence}) => sum + klDivergence, 0),
  };
}

async function ofEmptyCache<Result>(
  cache: KVCache,
  read: (cache: KVCache) => Promise<Result>,
): Promise<Result> {
  try {
    return await read(cache);
  } finally {
    cache.dispose();
  }
}
