import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {expectList} from '../../cache/sharing/id_list.js';
import {type CacheLease, KVCache} from '../../cache/kv_cache.js';
import {atLeast, checkOptions} from '../../base/options.js';
import type {PrefixCache} from '../../cache/sharing/prefix_cache.js';
import {ContextLengthError, InvalidArgumentError} from '../../base/errors.js';
import {contextOf} from '../attach/context.js';
import {waitingEvents} from './event_loop.js';
import {seededRandom} from '../../base/random.js';
import {sampleToken} from './sampling.js';
import {stopFilter} from './stop_strings.js';
import {checkIds} from '../token_ids.js';
import {type Tokenizer, streamDecoder} from '../tokenizer/index.js';

const schema = v.strictObject({
  maxTokens: v.optional(atLeast(1)),
  temperature: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0, 'expected a number >= 0')), 0),
  topK: v.optional(atLeast(1)),
  topP: v.optional(
    v.pipe(
      v.number(),
      v.gtValue(0, 'expected a number above 0, at most 1'),
      v.maxValue(1, 'expected a number above 0, at most 1'),
    ),
  ),
  seed: v.optional(v.pipe(v.number(), v.safeInteger('expected a whole number'))),
  prefillChunk: v.optional(atLeast(1), 128),
  contextLength: v.optional(atLeast(1)),
});

export interface GenerateIdsOptions {
  /**
   * The past to continue and to grow. Default: a `full()` one of its own, disposed at the end. A cache of yours holds the
   * prompt and every token that was generated when the generator has ended, however it ended; not the end token.
   */
  readonly cache?: KVCache;
  /** Default: 256, or fewer where the context has no room for them. */
  readonly maxTokens?: number;
  /** Divides the logits. Default 0: the most probable token each time. */
  readonly temperature?: number;
  /** Draw among the so many most probable tokens. Default: all. */
  readonly topK?: number;
  /** Draw among the fewest tokens that have this probability together, in (0, 1]. Default: all. */
  readonly topP?: number;
  /** The same seed gives the same text. Default: another one each time. */
  readonly seed?: number;
  /** Tokens of the prompt that are computed at once. Default 128. */
  readonly prefillChunk?: number;
  /** Tokens that the model can hold, `config.contextLength` of a loaded model. Default: what the model's layers say. */
  readonly contextLength?: number;
  /** Tokens that end the text; they are not given out. Default: none. */
  readonly eosIds?: readonly number[];
  /**
   * Beginnings of prompts that were computed before, and where those of this one are kept. Used where the cache is empty. The
   * tokens are the same as without, where `prefillChunk` divides `prefixes.chunkTokens` or the policy is exact. Default: none.
   */
  readonly prefixes?: PrefixCache;
  /** Ends it with the signal's reason, an AbortError unless the caller said otherwise. */
  readonly signal?: AbortSignal;
}

export interface GenerateOptions extends Omit<GenerateIdsOptions, 'eosIds'> {
  /** Ends the text where one of these would begin. Default: none. */
  readonly stop?: readonly string[];
}

/** Tokens at a prompt's end that the decoder sees: what joins the first generated one depends on them. */
const joiningTokens = 8;

/**
 * Continues a prompt, text by text as it becomes certain: never half a character, never a part of a stop string. Ends at
 * the tokenizer's `eosIds`, a stop string or `maxTokens`. Break out of the loop whenever you like.
 *
 *     for await (const text of generate(model, tokenizer, 'Once upon a time')) process.stdout.write(text);
 *
 * @param prompt special tokens written out in it count as such. With a cache that holds tokens it continues them, and gets
 *   no first token of its own; an empty one stands for the tokenizer's first token.
 * @throws InvalidArgumentError for options that are not allowed or an empty prompt without a first token;
 *   ContextLengthError, before anything is computed, where prompt and `maxTokens` do not fit; the signal's reason.
 */
export async function* generate(
  model: tf.LayersModel,
  tokenizer: Tokenizer,
  prompt: string,
  {stop = [], ...options}: GenerateOptions = {},
): AsyncGenerator<string, void, undefined> {
  if (stop.includes('')) {
    throw new InvalidArgumentError(
      'generate: stop holds an empty string, which would end every text; leave it out.',
    );
  }
  const ids = promptIds(tokenizer, prompt, (options.cache?.tokens ?? 0) > 0);
  const decoder = streamDecoder(tokenizer);
  for (const id of ids.slice(-joiningTokens)) decoder.push(id);
  const filter = stopFilter(stop);
  for await (const id of generateIds(model, ids, {...options, eosIds: tokenizer.eosIds})) {
    const text = filter.push(decoder.push(id));
    if (text !== '') yield text;
    if (filter.stopped) return;
  }
  const rest = filter.push(decoder.flush()) + filter.flush();
  if (rest !== '') yield rest;
}

function promptIds(tokenizer: Tokenizer, prompt: string, continues: boolean): number[] {
  const ids = tokenizer.encode(prompt, {addSpecial: !continues});
  if (ids.length > 0) return ids;
  if (tokenizer.bosId !== undefined && !continues) return [tokenizer.bosId];
  throw new InvalidArgumentError(
    continues
      ? 'The prompt is empty; give some text to continue the conversation with.'
      : 'The prompt is empty, and this tokenizer has no first token that could stand for it; give some text.',
  );
}

/**
 * Continues token ids; `generate` without the text. See there for how it ends and what it throws.
 *
 * @param ids the prompt; at least one, of the model's vocabulary.
 * @throws CacheStateError where another generation uses `cache`, or a policy's or the model's state does not allow it.
 */
export async function* generateIds(
  model: tf.LayersModel,
  ids: readonly number[],
  {cache, eosIds = [], signal, prefixes, ...options}: GenerateIdsOptions = {},
): AsyncGenerator<number, void, undefined> {
  const {prefillChunk, seed, contextLength, maxTokens, ...sampling} = checkOptions(
    'generate',
    schema,
    options,
  );
  checkIds(ids, model);
  if (ids.length === 0) throw new InvalidArgumentError('There are no ids to continue; give one or more.');
  expectList(eosIds, 'eosIds');
  const {tables, tokens} = contextOf(model);
  const count = countThatFits(
    (cache?.tokens ?? 0) + ids.length,
    maxTokens,
    cache?.beyondContext === true ? tables : Math.min(tokens, contextLength ?? Infinity),
  );
  const random = seededRandom(seed);
  const past = cache ?? new KVCache(model, undefined, {expectedTokens: ids.length + count});
  const lease = past.lease('a generation');
  const take: TakeTokens = fresh => lease.run(() => apply(model, fresh, past));
  let waiting: number | undefined; // generated and given out, not in the past yet
  try {
    signal?.throwIfAborted();
    let logits = await prefill(take, ids, past, prefillChunk, {
      signal,
      ...(prefixes && past.tokens === 0 && {prefixes, lease}),
    });
    for (let done = 0; done < count; done++) {
      const id = sampleToken(logits, sampling, random);
      if (eosIds.includes(id)) return;
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

function countThatFits(promptEnd: number, maxTokens: number | undefined, contextLength: number): number {
  const room = contextLength - promptEnd;
  if (room < (maxTokens ?? 1)) {
    throw new ContextLengthError(
      `The prompt ends at token ${promptEnd} and ${maxTokens ?? 1} or more are to follow, but the model's context holds ` +
        `${contextLength}; shorten the prompt${maxTokens === undefined ? '' : ' or lower maxTokens'}.`,
    );
  }
  return maxTokens ?? Math.min(256, room);
}

/** Takes the prompt in, some tokens at a time and those that are known from before at once; the logits of its last one. */
async function prefill(
  take: TakeTokens,
  ids: readonly number[],
  cache: KVCache,
  chunk: number,
  {prefixes, signal, lease}: Pick<GenerateIdsOptions, 'prefixes' | 'signal'> & {lease?: CacheLease},
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
