import * as v from 'valibot';
import {CacheStateError, ContextLengthError, InvalidArgumentError, ModelError} from '../../base/errors.js';
import {atLeast, checkOptions} from '../../base/options.js';
import type {Keeper} from '../../cache/contract.js';
import {type RefitOptions, refitEntries} from '../../cache/keepers/options.js';
import {KVCache, stateOf} from '../../cache/kv_cache.js';
import {tokensHeld} from '../../cache/past/past.js';
import {type CompressPromptOptions, type PromptCut, cutDepths} from '../../cache/prompt/compress_prompt.js';
import {expectSeen} from '../../cache/prompt/expect_seen.js';
import type {PromptSize} from '../../cache/prompt/prompt_size.js';
import {type ModelLike, type TextLike, contextLengthOf, idsOf, modelOf} from '../model_like.js';
import {type ProgressOptions, countProgress, progressEntries} from '../progress.js';
import {watchText} from '../watch_text.js';
import {ReplayScores} from './replay_scores.js';

export interface KvzipOptions extends CompressPromptOptions, RefitOptions, ProgressOptions {
  /** Tokens of the context that are replayed at a time, behind all of it. Default 2,048. */
  readonly chunk?: number;
  /** The text or ids that ask for the repetition. Default "\n\nRepeat the previous context exactly.\n\n"; without a tokenizer, nothing. */
  readonly instruction?: TextLike;
  /** Tokens per forward pass. Default 64. */
  readonly step?: number;
}

const schema = v.looseObject({
  chunk: v.optional(atLeast(1), 2048),
  step: v.optional(atLeast(1), 64),
  sinks: v.optional(atLeast(0), 4),
  ...refitEntries,
  ...progressEntries,
});

/**
 * Cuts a context that will be used again to what the model needs to repeat it (KVzip, Kim et al., 2025, arXiv 2505.23416). For each chunk the
 * model reads the whole context, an instruction and the chunk once more; the score of a token of the chunk is the most attention that a query
 * of this replay gives to it, in the metric of the output:
 *
 *     max_q softmax_j(q . k_j / sqrt(dim)) |v_j W_O|        over the sinks, the chunk and the replay up to q
 *
 * and over the query heads of the group. It costs two to three times what reading the context did. The tokens of the highest scores of all depths
 * stay: see `compressPrompt`, whose option `over` is `'model'` here by default.
 *
 *     using cache = new KVCache(model, 'full');
 *     await kvzip(model, cache, context, 0.3);
 *     using conversation = cache.fork();      // as often as you like
 *
 * With `refit` the cache must have kept queries, which a plan that refits but does not evict does: `new KVCache(model, 'snapKv:budget=null,refit=true')`.
 *
 * Depths whose sliding window does not see all of the context and the replay of a chunk stay as they are: they hold few tokens by themselves.
 *
 * @param cache has taken in the context, or is empty; its plan must not evict.
 * @param context the text, or its ids. `onProgress` counts its tokens as they are replayed.
 * @param size see `compressPrompt`.
 * @throws InvalidArgumentError if the cache holds another number of tokens, or what `compressPrompt` refuses; ContextLengthError if the context and
 *   one chunk are longer than the model's context; CacheStateError if tokens were or would be evicted; ModelError if the model stores latents in place of keys, has biases by
 *   distance, or has narrower windows only; the signal's reason. The tokens of the
 *   cache are then as before (or those of the context, if it was empty).
 */
export async function kvzip(
  model: ModelLike,
  cache: KVCache,
  context: TextLike,
  size: PromptSize,
  {instruction, over = 'model', recent, ...options}: KvzipOptions = {},
): Promise<PromptCut[]> {
  const {chunk, step, sinks, refit, ...progress} = checkOptions('kvzip', schema, options);
  const layers = modelOf(model);
  const {shapes} = stateOf(cache);
  const ids = idsOf(model, context, 'The context');
  const asking = instructionIds(model, instruction);
  const tokens = ids.length + asking.length + Math.min(chunk, ids.length);
  expectRoom(model, cache, tokens);
  const windows = shapes.map(({window = Infinity}) => window);
  const seesAll = (depth: number) => windows[depth]! >= tokens;
  expectSomeSeeAll(windows, tokens);
  expectKeepsAll(cache, ids.length, seesAll);
  const afterChunk = countProgress(ids.length, progress);
  if (cache.tokens === 0) await watchText(layers, ids, {chunk: step, cache, watchers: []});
  const scores = new ReplayScores(sinks, seesAll);
  const keeper: Keeper = {
    name: 'kvzip',
    options: {},
    budget: 1,
    refit,
    score: candidates => scores.of(candidates),
  };
  expectAllSeen(cache, keeper, seesAll);
  try {
    for (let from = 0; from < ids.length; from += chunk) {
      const replayed = ids.slice(from, from + chunk);
      const fork = cache.fork();
      try {
        const watchers = [scores.watch(fork, {from, count: replayed.length})];
        await watchText(layers, [...asking, ...replayed], {chunk: step, cache: fork, watchers});
      } finally {
        fork.dispose();
      }
      await afterChunk(replayed.length);
    }
    return await cutDepths(
      cache,
      keeper,
      size,
      {over, sinks, ...(recent !== undefined && {recent})},
      seesAll,
    );
  } finally {
    scores.dispose();
  }
}

/** @throws CacheStateError if a depth did not keep the queries that refitting takes. */
function expectAllSeen(cache: KVCache, keeper: Keeper, seesAll: (depth: number) => boolean): void {
  stateOf(cache).pasts.forEach((past, depth) => {
    if (past !== undefined && seesAll(depth)) expectSeen(keeper, cache.policy(depth)!.keep, past, 'kvzip');
  });
}

const repeat = '\n\nRepeat the previous context exactly.\n\n';

function instructionIds(model: ModelLike, given: TextLike | undefined): readonly number[] {
  if (given !== undefined) return given.length === 0 ? [] : idsOf(model, given, 'The instruction');
  return 'tokenizer' in model && model.tokenizer !== undefined ? idsOf(model, repeat) : [];
}

function expectRoom(model: ModelLike, cache: KVCache, tokens: number): void {
  const most = cache.beyondContext ? Infinity : contextLengthOf(model);
  if (tokens <= most) return;
  throw new ContextLengthError(
    `kvzip: the context and the replay of one chunk are ${tokens} tokens, and the model's context holds ${most}; give a smaller chunk or a ` +
      'shorter context.',
  );
}

function expectSomeSeeAll(windows: readonly number[], tokens: number): void {
  const widest = Math.max(...windows);
  if (widest >= tokens) return;
  throw new ModelError(
    `kvzip: every layer of this model has a sliding window of ${widest} tokens at most, and the context and the replay of one chunk are ${tokens}, so that ` +
      'no layer sees the context again. Such a cache holds few tokens by itself; compressPrompt cuts it.',
  );
}

function expectKeepsAll(cache: KVCache, tokens: number, seesAll: (depth: number) => boolean): void {
  if (cache.tokens !== 0 && cache.tokens !== tokens) {
    throw new InvalidArgumentError(
      `kvzip: the cache holds ${cache.tokens} tokens, and the context has ${tokens}; give the context that it holds, or an empty cache.`,
    );
  }
  for (const {depth, policy} of cache.report()) {
    const past = cache.past(depth);
    const isWhole = past === undefined || tokensHeld(past) === past.tokensSeen;
    if ((isWhole || !seesAll(depth)) && cache.policy(depth)!.keep.budget === undefined) continue;
    throw new CacheStateError(
      `kvzip: at depth ${depth} the policy ${policy} evicts tokens, so the model cannot replay all of them; give a cache whose plan keeps all, ` +
        'such as full or quantized.',
    );
  }
}
