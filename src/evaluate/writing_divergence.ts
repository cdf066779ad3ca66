import * as v from 'valibot';
import {ContextLengthError} from '../../base/errors.js';
import {atLeast, checkOptions, positiveNumber} from '../../base/options.js';
import {seededRandom} from '../../base/random.js';
import {mean, standardError} from '../../base/statistics.js';
import {count} from '../../base/units.js';
import {KVCache} from '../../cache/kv_cache.js';
import {type PlanLike, asPlan} from '../../cache/plans/as_plan.js';
import {full} from '../../cache/policies/full.js';
import {sampleToken} from '../../models/generate/sampling.js';
import {type ModelLike, type TextLike, contextLengthOf, idsOf, modelOf} from '../../models/model_like.js';
import {type ProgressOptions, countProgress, progressEntries} from '../../models/progress.js';
import {float32BytesOf} from './cache_bytes.js';
import {type Prediction, predictionsOf, referenceOf} from './compare_logits.js';
import {measuredStep} from './measured_step.js';
import {planLabel} from './plan_label.js';

export interface WritingOptions extends ProgressOptions {
  /** Plans to compare with `full`. Default: none. */
  readonly plans?: readonly PlanLike[];
  /** Tokens to write. Default 1,000. */
  readonly tokens?: number;
  /** Use only the first tokens of the prompt, at most this many. Default 64. */
  readonly promptTokens?: number;
  /** Parts of the written text that have a divergence each. Default 5. */
  readonly spans?: number;
  /** The logits are divided by this before a token is drawn. Default 1: texts as the model finds them probable. */
  readonly temperature?: number;
  /** Another seed writes another text, a whole number. Default 1. */
  readonly seed?: number;
  /** Tokens of the prompt per forward pass. Default 64. */
  readonly chunk?: number;
}

/** How far a plan is from the full cache in a part of the written text. */
export interface WritingSpan {
  /** The first and the last written token, from 1. */
  readonly from: number;
  readonly to: number;
  /** KL(full || plan), nats, mean over the tokens. */
  readonly klDivergence: number;
  /** Its standard error, which assumes independent tokens. NaN for a span of one token. */
  readonly klStderr: number;
  /** Share of the tokens, 0 to 1, for which both caches have the same most probable token. */
  readonly top1Agreement: number;
}

/** The divergence of a plan while the full cache writes. */
export interface WritingRow {
  /** The plan as on the command line: `quantized:bits=4`. */
  readonly plan: string;
  readonly spans: readonly WritingSpan[];
  /** KL(full || plan), nats, mean over all written tokens. */
  readonly klDivergence: number;
  /** Bytes of the cache at the end / bytes of all its keys and values as float32. */
  readonly ratioToFloat32: number;
}

/** The result of `writingDivergence`. */
export interface WritingDivergence {
  readonly promptTokens: number;
  /** Tokens written. */
  readonly tokens: number;
  readonly temperature: number;
  readonly seed: number;
  /** One for each plan. */
  readonly rows: readonly WritingRow[];
}

const wholeNumber = 'expected a whole number';

const schema = v.strictObject({
  plans: v.optional(v.custom<readonly PlanLike[]>(Array.isArray, 'expected a list of plans'), []),
  tokens: v.optional(atLeast(1), 1000),
  promptTokens: v.optional(atLeast(1), 64),
  spans: v.optional(atLeast(1), 5),
  temperature: v.optional(positiveNumber, 1),
  seed: v.optional(v.pipe(v.number(wholeNumber), v.safeInteger(wholeNumber)), 1),
  chunk: v.optional(atLeast(1), 64),
  ...progressEntries,
});

/**
 * Measures how plans leave the full cache while a text is written. The full cache samples each token; a cache of each plan takes the same
 * ids, one per pass, and its distribution of the next token is compared. Errors of stored tokens add up along a text, and what a keeper
 * evicted is missed later: an evaluation in passes of many tokens does not show either.
 *
 * @param prompt a text or its ids, of which the first `promptTokens` are used. `onProgress` counts tokens, of all plans together.
 * @throws InvalidArgumentError if the prompt or an option is not allowed; ContextLengthError, before anything is computed, if prompt and
 *   `tokens` are longer than the model's context; the signal's reason.
 */
export async function writingDivergence(
  model: ModelLike,
  prompt: TextLike,
  options: WritingOptions = {},
): Promise<WritingDivergence> {
  const checked = checkOptions('writingDivergence', schema, options);
  const {plans, tokens, promptTokens, spans, temperature, seed, chunk, ...progress} = checked;
  const ids = idsOf(model, prompt, 'The prompt').slice(0, promptTokens);
  expectRoom(ids.length, tokens, contextLengthOf(model));
  const all = [asPlan(full()), ...plans.map(plan => asPlan(plan)).filter(plan => planLabel(plan) !== 'full')];
  const expectedTokens = ids.length + tokens;
  const caches = all.map(plan => new KVCache(modelOf(model), plan, {expectedTokens}));
  const afterStep = countProgress(all.length * (expectedTokens - 1), progress);
  const random = seededRandom(seed);
  const predictions: Prediction[][] = all.map(() => []);
  const take = async (fresh: readonly number[]): Promise<Float32Array[]> => {
    const logits: Float32Array[] = [];
    for (const cache of caches) {
      logits.push((await measuredStep(modelOf(model), fresh, cache)).logits);
      await afterStep(fresh.length);
    }
    return logits;
  };
  try {
    const before = ids.slice(0, -1);
    for (let start = 0; start < before.length; start += chunk) await take(before.slice(start, start + chunk));
    let last = ids.at(-1)!;
    for (let written = 0; written < tokens; written++) {
      const logits = await take([last]);
      const reference = referenceOf(logits[0]!, logits[0]!.length);
      last = sampleToken(reference.logits, {temperature}, random);
      logits.forEach((ofPlan, i) => predictions[i]!.push(...predictionsOf(ofPlan, reference, [last])));
    }
    const rows = caches.map((cache, i) => ({
      plan: planLabel(all[i]!),
      spans: spansOf(predictions[i]!, Math.min(spans, tokens)),
      klDivergence: mean(predictions[i]!.map(({klDivergence}) => klDivergence)),
      ratioToFloat32: cache.byteSize / float32BytesOf(cache),
    }));
    return {promptTokens: ids.length, tokens, temperature, seed, rows: rows.slice(1)};
  } finally {
    for (const cache of caches) cache.dispose();
  }
}

function expectRoom(promptTokens: number, tokens: number, contextLength: number): void {
  if (promptTokens + tokens <= contextLength) return;
  throw new ContextLengthError(
    `${count(tokens)} tokens after a prompt of ${count(promptTokens)} are ${count(promptTokens + tokens)}, but the model's context holds ` +
      `${count(contextLength)}; write fewer, or give a shorter prompt.`,
  );
}

/** Parts of nearly equal length. */
function spansOf(predictions: readonly Prediction[], spans: number): WritingSpan[] {
  const edge = (i: number) => Math.round((i * predictions.length) / spans);
  return Array.from({length: spans}, (_, i) => {
    const part = predictions.slice(edge(i), edge(i + 1));
    const divergences = part.map(({klDivergence}) => klDivergence);
    return {
      ...{from: edge(i) + 1, to: edge(i + 1)},
      ...{klDivergence: mean(divergences), klStderr: standardError(divergences)},
      top1Agreement: mean(part.map(({agrees}) => Number(agrees))),
    };
  });
}
