import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError, didYouMean} from '../../base/errors.js';
import {atLeast, checkOptions, flag} from '../../base/options.js';
import {KVCache, type KVCacheOptions, cacheEntries} from '../../cache/kv_cache.js';
import type {PlanLike} from '../../cache/plans/as_plan.js';
import {type ModelLike, modelOf} from '../model_like.js';
import {attachLayers} from './attach_layers.js';
import {checkAttached} from './check_attached.js';

export interface AttachOptions extends KVCacheOptions {
  /**
   * Compare the model with and without a cache first. This finds attention that differs from its adapter's description, unknown layers
   * that compute from positions, and layers that mix tokens. Default true.
   */
  readonly check?: boolean;
  /**
   * The number of tokens over which attention is compared; wider windows are not found. Fewer if the context is shorter, more if a
   * layer's config names a wider window. Default 512: 0.4 s on one core for a GPT of three small layers, 8 s for 13 million weights.
   */
  readonly checkTokens?: number;
  /**
   * Names of layers that get no cache and compute as they did: the attention of an encoder, and attention to an encoder's output. Default: none.
   */
  readonly leave?: readonly string[];
  /** The name of the input that gets new tokens in each step, of a model with several; the others get the same each time. Default: the first. */
  readonly input?: string;
}

const optionsSchema = v.strictObject({
  ...cacheEntries,
  check: v.optional(flag, true),
  checkTokens: v.optional(atLeast(1), 512),
  leave: v.optional(v.array(v.string('expected names of layers'), 'expected a list of names of layers'), []),
  input: v.optional(v.string('expected the name of an input')),
});

/**
 * Gives a model of another package a compressed cache, without rewriting it:
 *
 *     const cache = await attachCache(model, quantized({bits: 4}));
 *     for await (const id of generate(model, prompt, {cache})) ...
 *     cache.dispose();
 *
 * The model's attention layers must be known to an adapter (`registerAttentionAdapter`), or be layers of eigenkv. From then on
 * `model.apply(ids, {cache})` takes only new tokens and attends to the cache; the same layers with the same weights compute it,
 * and nothing is copied. Without a cache (`predict`, `fit`, `save`) the model works as before, except that texts longer than its tables
 * of positions are refused. Layers that compute from positions continue where the cache ends (`registerPositionAdapter`). For more
 * caches: `new KVCache(model, plan)`.
 *
 * @param given the model, or `{model, tokenizer}` with it: a graph of layers or a sequence, models inside models included. Attention
 *   must be causal, over the layer's own input and without padding masks, each layer applied once.
 * @param plan the policy of each depth. Default: what the layers ask for, else `full()`.
 * @throws ModelError if no adapter knows the attention (the layers are listed), or if the model predicts something else with a cache
 *   than without (the layer and the first token are named); the model is then unchanged. InvalidArgumentError if it is not a model, or
 *   if the plan or an option does not fit.
 */
export async function attachCache(
  given: ModelLike,
  plan?: PlanLike,
  options: AttachOptions = {},
): Promise<KVCache> {
  const {check, checkTokens, leave, input, ...ofCache} = checkOptions('attachCache', optionsSchema, options);
  const model = modelOf(given);
  const attached = attachLayers(model, {leave, input: inputOf(model, input)});
  try {
    if (check) await checkAttached(model, attached, checkTokens);
    return new KVCache(model, plan, ofCache);
  } catch (error) {
    attached.undo();
    throw error;
  }
}

/** The place of an input. */
function inputOf(model: tf.LayersModel, name: string | undefined): number {
  const names = model.inputs.map(({sourceLayer}) => sourceLayer.name);
  const place = name === undefined ? 0 : names.indexOf(name);
  if (place >= 0) return place;
  throw new InvalidArgumentError(
    `attachCache: input = "${name!}"; the model's inputs are ${names.join(', ')}.${didYouMean(name!, names)}`,
  );
}
