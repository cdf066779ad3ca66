import {driftText, textIds} from '../../src/evaluate/index.js';
import {type LoadedModel, evaluate, monitor} from '../../src/index.js';
import type {Band} from '../state/bands.js';
import {planOf} from './plan.js';
import type {Measurement} from './protocol.js';

/** Tokens of a text that are measured, at most: a page should answer in seconds. */
const mostTokens = 1024;

/** Tokens per forward pass: few, since they attend to each other exactly. */
const chunk = 16;

interface MeasureOptions {
  readonly onProgress: (done: number, total: number) => void;
  readonly signal: AbortSignal;
}

/**
 * A text through the full cache and through a plan: perplexity and divergence (`evaluate`), and what the plan did at each depth
 * and how low the rank of the text's keys and values is (`monitor`).
 * @throws InvalidArgumentError for texts below three tokens; the signal's reason.
 */
export async function measure(
  loaded: LoadedModel,
  bands: readonly Band[],
  text: string,
  {onProgress, signal}: MeasureOptions,
): Promise<Measurement> {
  const plan = planOf(bands);
  const whole = textIds(loaded.tokenizer, text);
  const ids = whole.slice(0, Math.min(mostTokens, loaded.config.contextLength));
  const total = 4 * ids.length; // two caches evaluated; one watched, beside an exact one
  const {
    rows: [full, ofPlan],
  } = await evaluate(loaded, ids, {
    plans: [plan],
    chunk,
    signal,
    onProgress: ({done}) => onProgress(done, total),
  });
  const {rows, ranks} = await monitor(loaded, ids, {
    plan,
    chunk,
    tokens: ids.length,
    signal,
    onProgress: ({done}) => onProgress(2 * (ids.length + done), total),
  });
  const {drift} = ofPlan!;
  return {
    tokens: ids.length,
    textTokens: whole.length,
    full: full!,
    plan: ofPlan!,
    ...(drift && {drift: {text: driftText(drift), hasLeft: drift.hasLeft}}),
    ranks: ranks.flatMap(({depth, kvHead, feature, effectiveRank}) =>
      feature === 'keys' || feature === 'values'
        ? [{side: feature, depth, head: kvHead, rank: effectiveRank}]
        : [],
    ),
    outputErrors: rows.map(({outputError}) => outputError),
    predictedKls: rows.map(({predictedKl}) => predictedKl),
  };
}
