import {driftText, textIds} from '../../src/evaluate/index.js';
import {InvalidArgumentError, type LoadedModel, evaluate, evaluateTasks, monitor} from '../../src/index.js';
import type {Band} from '../state/bands.js';
import {planOf} from './plan.js';
import type {Measurement} from './protocol.js';

/** Tokens of a text that are measured, at most: a page should answer in seconds. */
const mostTokens = 1024;

/** Tokens per forward pass: few, since they attend to each other exactly. */
const chunk = 16;

/** The task of questions about a longer text, its questions, and the most tokens of its context. */
const asked = {task: 'copy', questions: 8, tokens: 400} as const;

/** Tokens that a question and its answer take, at most. */
const questionTokens = 64;

interface MeasureOptions {
  /** The text that questions are asked about. */
  readonly prose: string;
  readonly onProgress: (done: number, total: number) => void;
  readonly signal: AbortSignal;
}

/**
 * A text through the full cache and through a plan: perplexity and divergence (`evaluate`), what the plan did at each depth and how low
 * the rank of the text's keys and values is (`monitor`), and what both caches answer to questions about a longer text.
 * @throws InvalidArgumentError for texts below three tokens; the signal's reason.
 */
export async function measure(
  loaded: LoadedModel,
  bands: readonly Band[],
  text: string,
  {prose, onProgress, signal}: MeasureOptions,
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
  const answers = await answersOf(loaded, {plan, prose, signal});
  const {drift} = ofPlan!;
  return {
    tokens: ids.length,
    textTokens: whole.length,
    full: full!,
    plan: ofPlan!,
    ...(answers && {answers}),
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

/** Undefined if the model has too short a context for the task. */
async function answersOf(
  loaded: LoadedModel,
  {plan, prose, signal}: Pick<MeasureOptions, 'prose' | 'signal'> & {plan: ReturnType<typeof planOf>},
): Promise<Measurement['answers']> {
  const {task, questions} = asked;
  const tokens = Math.min(asked.tokens, loaded.config.contextLength - questionTokens);
  try {
    const {rows} = await evaluateTasks(loaded, task, {
      plans: [plan],
      chunk,
      questions,
      tokens,
      prose,
      signal,
    });
    const [full, ofPlan] = rows;
    return {full: full!, plan: ofPlan ?? full!}; // the plan may be full itself
  } catch (error) {
    if (error instanceof InvalidArgumentError) return undefined;
    throw error;
  }
}
