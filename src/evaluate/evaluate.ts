import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {atLeast, checkOptions} from '../../base/options.js';
import {KVCache} from '../../cache/kv_cache.js';
import {type PlanLike, asPlan} from '../../cache/plans/as_plan.js';
import {full} from '../../cache/policies/full.js';
import {
  type ModelLike,
  type TextLike,
  contextLengthOf,
  idsOfTexts,
  modelOf,
} from '../../models/model_like.js';
import {type ProgressOptions, countProgress, progressEntries} from '../../models/progress.js';
import {type Reference, predictionsOf, referenceOf} from './compare_logits.js';
import {Evaluation} from './evaluation.js';
import {measuredStep} from './measured_step.js';
import {planLabel} from './plan_label.js';
import {PlanRun} from './plan_run.js';

export interface EvaluateOptions extends ProgressOptions {
  /** Plans to compare with `full`, which is always the first row. Default: none. */
  readonly plans?: readonly PlanLike[];
  /** Other models that run over the same texts, such as compressed ones of the same weights. Default: none. */
  readonly compared?: readonly ComparedModel[];
  /** Use only the first tokens of each text, at most this many. Default: all. */
  readonly tokens?: number;
  /** Tokens per forward pass. They attend to each other exactly and are compressed afterwards. Default 64. */
  readonly chunk?: number;
}

/** A model with the same vocabulary, whose rows are compared with the full cache of the first model. */
export interface ComparedModel {
  /** The name in its rows, followed by the plan. */
  readonly name: string;
  readonly model: ModelLike;
  /** Plans to run this model with. Default: `full`. */
  readonly plans?: readonly PlanLike[];
}

/** The schema of the options that `evaluate` and `epochCallback` share. */
export const evaluateEntries = {
  plans: v.optional(v.custom<readonly PlanLike[]>(Array.isArray, 'expected a list of plans'), []),
  tokens: v.optional(atLeast(3), Number.MAX_SAFE_INTEGER),
  chunk: v.optional(atLeast(1), 64),
  ...progressEntries,
};

const schema = v.strictObject({
  ...evaluateEntries,
  compared: v.optional(v.custom<readonly ComparedModel[]>(Array.isArray, 'expected a list of models'), []),
});

/**
 * Number of tokens at the end of the first window that are processed one by one, as in generation; the last 16 of them measure the speed
 * of decoding. They count for the perplexity like all others.
 */
const decodedTokens = 20;

/**
 * Measures plans on a text: perplexity, divergence from the full cache, bytes and speed.
 *
 *     console.table(await evaluate(model, text, {plans: [quantized({bits: 4}), h2o()]}));
 *
 * Every token is taken from the text (teacher forcing) and passes through a cache of each plan, so each token is predicted by attention
 * over what the plan kept. All caches run side by side, so the divergence needs no stored logits.
 *
 * A text longer than the model's context is cut into windows of that length, each with a fresh cache. The first token of a
 * window is not predicted. Bytes are those at the end of the first window. The windows of several texts are ordered by length,
 * longest first.
 *
 * @param model what `loadModel` returns, or a `tf.LayersModel`, which takes ids.
 * @param texts a text, its ids, or a list of texts and lists of ids. `onProgress` counts tokens, of all plans together.
 * @throws InvalidArgumentError if the longest text has fewer than three tokens, an id is not in the vocabulary, the vocabularies of
 *   compared models differ, or an option is not allowed; the signal's reason.
 */
export async function evaluate(
  model: ModelLike,
  texts: TextLike | readonly TextLike[],
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const {plans, compared, tokens, chunk, ...progress} = checkOptions('evaluate', schema, options);
  const tfModel = modelOf(model);
  checkVocabularies(tfModel, compared);
  const windows = windowsOf(idsOfTexts(model, texts, tokens), contextLengthOf(model));
  const others = plans.map(plan => asPlan(plan)).filter(plan => planLabel(plan) !== 'full');
  const runs = [
    ...[asPlan(full()), ...others].map(plan => new PlanRun(tfModel, plan)),
    ...compared.flatMap(({name, model: other, plans: ofOther = [full()]}) =>
      expectPlans(ofOther).map(plan => new PlanRun(modelOf(other), asPlan(plan), name)),
    ),
  ];
  const evaluated = windows.reduce((sum, {length}) => sum + length, 0);
  const afterChunk = countProgress(evaluated * runs.length, progress);
  try {
    for (const each of new Set(runs.map(run => run.model))) await warmUp(each, windows[0]!.slice(0, chunk));
    for (const [index, window] of windows.entries()) {
      for (const run of runs) run.startWindow(window.length);
      await evaluateWindow(window, chunksOf(window.length, chunk, index === 0), runs, afterChunk);
      if (index === 0) for (const run of runs) await run.measureCache(runs[0]!.float32Bytes());
    }
    return new Evaluation({tokens: evaluated, chunk, rows: runs.map(run => run.row(runs[0]!))});
  } finally {
    for (const run of runs) run.dispose();
  }
}

function expectPlans(plans: readonly PlanLike[]): readonly PlanLike[] {
  return checkOptions('evaluate: a compared model', v.strictObject({plans: evaluateEntries.plans}), {plans})
    .plans;
}

/** Logits of one vocabulary cannot be compared with those of another. */
function checkVocabularies(model: tf.LayersModel, compared: readonly ComparedModel[]): void {
  const sizeOf = ({outputs}: tf.LayersModel) => outputs[0]?.shape.at(-1);
  const size = sizeOf(model);
  for (const {name, model: other} of compared) {
    const otherSize = sizeOf(modelOf(other));
    if (otherSize === size) continue;
    throw new InvalidArgumentError(
      `${name} has logits of ${otherSize} tokens, but the model that it is compared with has logits of ${size}: their vocabularies ` +
        'differ. Compare models of the same vocabulary, such as a model and the result of compress.',
    );
  }
}

/** Packs weights and compiles kernels, for a prompt and a token. Otherwise the time of the first plan would include this. */
async function warmUp(model: tf.LayersModel, ids: readonly number[]): Promise<void> {
  const cache = new KVCache(model, full());
  try {
    // all of them fit into the model's context, and one more may not
    if (ids.length > 1) await measuredStep(model, ids.slice(0, -1), cache);
    await measuredStep(model, ids.slice(-1), cache);
  } finally {
    cache.dispose();
  }
}

/** Pieces of at most the context length, longest first. A piece of one token predicts nothing and is left out. */
function windowsOf(texts: readonly (readonly number[])[], contextLength: number): (readonly number[])[] {
  const windows = texts
    .flatMap(ids => {
      const size = Math.min(contextLength, ids.length);
      return Array.from({length: Math.ceil(ids.length / size)}, (_, i) =>
        ids.slice(i * size, (i + 1) * size),
      );
    })
    .filter(({length}) => length > 1)
    .sort((a, b) => b.length - a.length);
  const longest = Math.max(...texts.map(({length}) => length));
  if (longest >= 3 && windows.length > 0) return windows;
  throw new InvalidArgumentError(`The text has ${longest} tokens; an evaluation needs three or more.`);
}

interface Chunk {
  readonly tokens: number;
  readonly decodes: boolean;
}

/** The tokens of each pass: chunks, and single tokens at the end of the first window. */
function chunksOf(tokens: number, chunk: number, decodes: boolean): Chunk[] {
  const single = decodes ? Math.min(decodedTokens, Math.floor(tokens / 2)) : 0;
  const chunks: Chunk[] = [];
  for (let left = tokens - single; left > 0; left -= chunk) {
    chunks.push({tokens: Math.min(chunk, left), decodes: false});
  }
  return [...chunks, ...Array.from({length: single}, () => ({tokens: 1, decodes: true}))];
}

async function evaluateWindow(
  window: readonly number[],
  chunks: readonly Chunk[],
  runs: readonly PlanRun[],
  afterChunk: (tokens: number) => Promise<void>,
): Promise<void> {
  let start = 0;
  for (const {tokens, decodes} of chunks) {
    const ids = window.slice(start, start + tokens);
    const targets = window.slice(start + 1, start + tokens + 1);
    let reference: Reference | undefined;
    for (const run of runs) {
      const logits = await run.take(ids, decodes);
      reference ??= referenceOf(logits, logits.length / tokens);
      run.count(predictionsOf(logits, reference, targets));
      await afterChunk(tokens);
    }
    start += tokens;
  }
}
