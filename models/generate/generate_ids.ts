import type {CacheLease} from '../../cache/binding/lease.js';
import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, ContextLengthError} from '../../base/errors.js';
import {checkOptions} from '../../base/options.js';
import {seededRandom} from '../../base/random.js';
import {KVCache} from '../../cache/kv_cache.js';
import {contextOf} from '../attach/context.js';
import type {ModelParts} from '../model_like.js';
import {checkIds} from '../token_ids.js';
import {waitingEvents} from './event_loop.js';
import {type GenerateIdsOptions, expectListener, generateIdsSchema} from './options.js';
import {withLogprobs} from './logprobs.js';
import {processedLogits, processes} from './processed_logits.js';
import {sampleToken} from './sampling.js';

/**
 * Continues token ids; see `generate`.
 *
 * @param ids the prompt; at least one, of the model's vocabulary.
 * @param before the ids that the cache holds already, if they are known: penalties and processors see them.
 */
export async function* generateIds(
  {model, tokenizer, contextLength}: ModelParts,
  ids: readonly number[],
  options: GenerateIdsOptions,
  before: readonly number[] = [],
): AsyncGenerator<number, void, undefined> {
  checkIds(ids, model);
  if (ids.length === 0)
    throw new InvalidArgumentError('generate got an empty list; give one or more ids or messages.');
  const checked = checkOptions('generate', generateIdsSchema, options);
  const {cache, plan, prefixes, chunk, seed, tokens, signal, onProgress} = checked;
  const {onToken, logprobs, eosIds = tokenizer?.eosIds ?? []} = checked;
  expectListener(checked);
  const changes = processes(checked);
  if (cache !== undefined && plan !== undefined) {
    throw new InvalidArgumentError(
      'generate got a cache and a plan; give one of them: a cache has a plan already (cache.setPlan changes it).',
    );
  }
  const promptEnd = (cache?.tokens ?? 0) + ids.length;
  const count = countThatFits({model, contextLength}, promptEnd, {tokens, cache});
  const random = seededRandom(seed);
  const past = cache ?? new KVCache(model, plan, {expectedTokens: ids.length + count});
  const lease = past.lease('a generation');
  const take: TakeTokens = fresh => lease.run(() => apply(model, fresh, past));
  const known = [...before, ...ids];
  const start = known.length;
  let waiting: number | undefined; // generated and given out, not in the cache yet
  try {
    signal?.throwIfAborted();
    let logits = await prefill(take, ids, past, chunk, {
      ...{signal, onProgress, lease},
      prefixes: past.tokens === 0 ? prefixes : undefined,
    });
    for (let done = 0; done < count; done++) {
      const seen = changes ? await processedLogits(logits, known, start, checked) : logits;
      const id = sampleToken(seen, checked, random);
      if (eosIds.includes(id)) return;
      onToken?.(withLogprobs(id, logits, logprobs));
      known.push(id);
      waiting = id;
      yield id;
      await waitingEvents();
      signal?.throwIfAborted();
      if (done === count - 1) return;
      waiting = undefined;
      logits = await lastLogits(take([id]));
    }
  } finally {
    try {
      if (cache !== undefined && waiting !== undefined) take([waiting]).dispose();
    } finally {
      lease.end();
      if (cache === undefined) past.dispose();
    }
  }
}

/** Tokens that are generated if the caller names no number. */
const usualCount = 256;

/**
 * How many tokens are generated after a prompt.
 *
 * @param usual their number if `tokens` is not given and the context has room for it.
 * @throws ContextLengthError if the model's context has no room for `tokens`, or for one.
 */
export function countThatFits(
  {model, contextLength}: Pick<ModelParts, 'model' | 'contextLength'>,
  promptEnd: number,
  {tokens, cache}: Pick<GenerateIdsOptions, 'tokens' | 'cache'>,
  usual = usualCount,
): number {
  const context = contextOf(model);
  const most =
    cache?.beyondContext === true ? context.tables : Math.min(context.tokens, contextLength ?? Infinity);
  const room = most - promptEnd;
  if (room < (tokens ?? 1)) {
    throw new ContextLengthError(
      `The prompt ends at token ${promptEnd} and ${tokens ?? '1 or more'} are to follow, but the model's context holds ` +
        `${most}; shorten the prompt${tokens === undefined ? '' : ' or lower `tokens`'}.`,
    );
  }
  return tokens ?? Math.min(usual, room);
}

/** Computes the prompt, `chunk` tokens per forward pass, beginning after a known prefix. Returns the logits of its last token. */
async function prefill(
  take: TakeTokens,
  ids: readonly number[],
  cache: KVCache,
  chunk: number,
  {
    prefixes,
    signal,
    onProgress,
    lease,
  }: Pick<GenerateIdsOptions, 'prefixes' | 'signal' | 'onProgress'> & {lease: CacheLease},
): Promise<Float32Array> {
  let start = (await prefixes?.resume(cache, ids, chunk, lease)) ?? 0;
  const boundary = prefixes?.chunkTokens ?? Infinity;
  for (;;) {
    const room = boundary - (start % boundary);
    const end = Math.min(start + Math.min(chunk, room), ids.length);
    const isLast = end === ids.length;
    const logits = take(ids.slice(start, end));
    try {
      if (end % boundary === 0) prefixes?.remember(cache, ids.slice(0, end), chunk);
      onProgress?.({done: end, total: ids.length});
      if (isLast) return await numbersOfLast(logits);
    } finally {
      logits.dispose();
    }
    await waitingEvents();
    signal?.throwIfAborted();
    start = end;
  }
}

async function numbersOfLast(logits: tf.Tensor): Promise<Float32Array> {
  const values = (await logits.data()) as Float32Array;
  return values.subarray(values.length - logits.shape.at(-1)!);
}

async function lastLogits(logits: tf.Tensor): Promise<Float32Array> {
  try {
    return await numbersOfLast(logits);
  } finally {
    logits.dispose();
  }
}

/** A step of the model over the cache of this generation: the logits of its last token. */
type TakeTokens = (ids: readonly number[]) => tf.Tensor;

/** Takes ids into the cache; the logits of the last one, float32 `[1, 1, vocab]`. */
function apply(model: tf.LayersModel, ids: readonly number[], cache: KVCache): tf.Tensor {
  return tf.tidy(
    () =>
      model.apply(tf.tensor2d([...ids], [1, ids.length], 'int32'), {cache, lastTokenOnly: true}) as tf.Tensor,
  );
}
