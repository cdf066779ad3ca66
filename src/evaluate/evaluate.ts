import {type PolicyLike, asPolicy} from '../../cache/policies/as_policy.js';
import {isPlan} from '../../cache/plans/as_plan.js';
import type {Policy} from '../../cache/contract.js';
import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {KVCache} from '../../cache/kv_cache.js';
import {atLeast, checkOptions} from '../../base/options.js';
import {type Plan} from '../../cache/plans/plan.js';
import {full} from '../../cache/policies/full.js';
import {waitingEvents} from '../../models/generate/event_loop.js';
import {checkIds} from '../../models/token_ids.js';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {type Reference, predictionsOf, referenceOf} from './compare_logits.js';
import {measuredStep} from './measured_step.js';
import {policyLabel} from './policy_label.js';
import {PolicyRun} from './policy_run.js';
import type {EvaluationRow} from './report.js';

export interface EvaluateOptions {
  /** What to compare with `full`, which is always the first row. Default: only `full`. */
  readonly policies?: readonly (Plan | PolicyLike)[];
  /** Tokens that come into the cache at a time: they attend exactly among themselves, then compressed. Default 64. */
  readonly step?: number;
  /** Other models over the same text, such as compressed ones of the same weights. Default: none. */
  readonly compared?: readonly ComparedModel[];
  /** Evaluate the first so many ids. Default: all. */
  readonly tokens?: number;
  /** Tokens done, of all policies together. */
  readonly onProgress?: (progress: {readonly done: number; readonly total: number}) => void;
  readonly signal?: AbortSignal;
}

/** A model of the same tokens, whose rows are compared with the first model's full cache as all others are. */
export interface ComparedModel {
  /** What its rows are called, before their policy. */
  readonly name: string;
  readonly model: tf.LayersModel;
  /** Default: `full`. */
  readonly policies?: readonly (Plan | PolicyLike)[];
}

/** What of a loaded model is evaluated. */
export interface EvaluatedModel {
  readonly model: tf.LayersModel;
  readonly config: {readonly contextLength: number};
}

/**
 * Tokens at the end of the first window that come one by one, as in generation: the speed of decoding is that of the last
 * 16 of them. They count for the perplexity as all others do.
 */
const decodedTokens = 20;

const schema = v.strictObject({step: v.optional(atLeast(1), 64), tokens: v.optional(atLeast(3))});

/**
 * Measures policies over a text: every token comes from the text (teacher forcing) and goes through the cache in steps,
 * so that each is predicted by attention over what the policy kept. All caches go through the text side by side: the
 * divergence from the full cache needs no stored logits.
 *
 * A text that is longer than the model's context is cut into windows of the context, each with a fresh cache. The first
 * token of a window is not predicted. Bytes are those at the end of the first window, the longest.
 *
 * @param ids of the text; three or more, all of the models' vocabularies.
 * @returns one row for `full`, then one for each other policy in the order given, then those of the compared models.
 * @throws InvalidArgumentError where `ids` or options are not fit, or vocabularies differ; the signal's reason.
 */
export async function evaluate(
  {model, config}: EvaluatedModel,
  ids: readonly number[],
  {policies = [], compared = [], onProgress, signal, ...numbers}: EvaluateOptions = {},
): Promise<EvaluationRow[]> {
  checkIds(ids, model);
  const {step, tokens = ids.length} = checkOptions('evaluate', schema, numbers);
  checkLength(ids.length, tokens);
  checkVocabularies(model, compared);
  const others = plansOf(policies).filter(policy => policyLabel(policy) !== 'full');
  const runs = [
    ...[full(), ...others].map(policy => new PolicyRun(model, policy)),
    ...compared.flatMap(({name, model: other, policies: ofOther = [full()]}) =>
      plansOf(ofOther).map(policy => new PolicyRun(other, policy, name)),
    ),
  ];
  const windows = windowsOf(ids.slice(0, tokens), config.contextLength);
  let done = 0;
  const afterStep = async (fresh: number) => {
    done += fresh;
    onProgress?.({done, total: tokens * runs.length});
    await waitingEvents(); // lets an abort and the progress bar in
    signal?.throwIfAborted();
  };
  try {
    signal?.throwIfAborted();
    for (const each of [model, ...compared.map(other => other.model)]) {
      await warmUp(each, windows[0]!.slice(0, step));
    }
    for (const [index, window] of windows.entries()) {
      for (const run of runs) run.startWindow(window.length);
      await evaluateWindow(window, stepsOf(window.length, step, index === 0), runs, afterStep);
      if (index === 0) for (const run of runs) run.measureBytes(runs[0]!.float32Bytes());
    }
    return runs.map(run => run.row());
  } finally {
    for (const run of runs) run.dispose();
  }
}

/** @throws InvalidArgumentError where they are no list, or one of them is neither plan nor policy. */
function plansOf(policies: readonly (Plan | PolicyLike)[]): (Plan | Policy)[] {
  const given: unknown = policies;
  if (!Array.isArray(given)) {
    throw new InvalidArgumentError(
      `evaluate: policies = ${shown(given)}; expected a list of plans and policies.`,
    );
  }
  return policies.map(policy => (isPlan(policy) ? policy : asPolicy(policy)));
}

function checkLength(given: number, tokens: number): void {
  if (given < 3) {
    throw new InvalidArgumentError(`The text has ${given} tokens; an evaluation needs three or more.`);
  }
  if (tokens > given) {
    throw new InvalidArgumentError(
      `tokens = ${tokens}, but the text has only ${given}; ask for fewer or give a longer text.`,
    );
  }
}

/** Logits of one vocabulary cannot be compared with those of another. */
function checkVocabularies(model: tf.LayersModel, compared: readonly ComparedModel[]): void {
  const sizeOf = ({outputs}: tf.LayersModel) => outputs[0]?.shape.at(-1);
  const size = sizeOf(model);
  for (const {name, model: other} of compared) {
    if (sizeOf(other) === size) continue;
    throw new InvalidArgumentError(
      `${name} has logits of ${sizeOf(other)} tokens and the model that it is compared with of ${size}: their vocabularies differ. ` +
        'Compare models of the same tokens, such as one and what compressModel made of it.',
    );
  }
}

/** Packs weights and compiles kernels in the shapes that are timed, which the first policy would pay for else. */
async function warmUp(model: tf.LayersModel, ids: readonly number[]): Promise<void> {
  const cache = new KVCache(model, full());
  try {
    await measuredStep(model, ids, cache);
    await cache.truncate(Math.max(1, ids.length - 1)); // the step may fill the model's context
    await measuredStep(model, ids.slice(0, 1), cache);
  } finally {
    cache.dispose();
  }
}

/** Pieces of at most the context's length; a rest of one token predicts nothing and is left out. */
function windowsOf(ids: readonly number[], contextLength: number): number[][] {
  const count = Math.ceil(ids.length / contextLength);
  return Array.from({length: count}, (_, i) => ids.slice(i * contextLength, (i + 1) * contextLength)).filter(
    ({length}) => length > 1,
  );
}

interface Step {
  readonly tokens: number;
  readonly decodes: boolean;
}

/** How many tokens come at a time: steps, and in the first window single tokens at the end. */
function stepsOf(tokens: number, step: number, decodes: boolean): Step[] {
  const single = decodes ? Math.min(decodedTokens, Math.floor(tokens / 2)) : 0;
  const steps: Step[] = [];
  for (let left = tokens - single; left > 0; left -= step) {
    steps.push({tokens: Math.min(step, left), decodes: false});
  }
  return [...steps, ...Array.from({length: single}, () => ({tokens: 1, decodes: true}))];
}

async function evaluateWindow(
  window: readonly number[],
  steps: readonly Step[],
  runs: readonly PolicyRun[],
  afterStep: (tokens: number) => Promise<void>,
): Promise<void> {
  let start = 0;
  for (const {tokens, decodes} of steps) {
    const ids = window.slice(start, start + tokens);
    const targets = window.slice(start + 1, start + tokens + 1);
    let reference: Reference | undefined;
    for (const run of runs) {
      const logits = await run.take(ids, decodes);
      reference ??= referenceOf(logits, logits.length / tokens);
      run.count(predictionsOf(logits, reference, targets));
      await afterStep(tokens);
    }
    start += tokens;
  }
}
