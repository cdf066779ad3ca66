import type {Policy} from '../cache/contract.js';
import {existsSync} from 'node:fs';
import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {KVCache} from '../cache/kv_cache.js';
import {full} from '../cache/policies/full.js';
import {onlineSvd} from '../cache/policies/online_svd.js';
import {quantized} from '../cache/policies/quantized.js';
import {embeddedText, loadModel, type LoadModelOptions} from '../models/index.js';
import {weightSettings} from '../models/formats/weight_formats.js';
import {measure} from './support/measure.js';
import type {Row} from './support/row.js';

/** One way to decode a text: an engine, its weights and the encoding of its cache. */
export interface Decoder extends Pick<Row, 'backend' | 'codec' | 'shape' | 'weights'> {
  /** Takes one token in and makes the logits of the next. */
  step(): Promise<void>;
}

/** The ways of one engine. They read the same text, each into a cache of its own. */
export interface Engine {
  readonly decoders: readonly Decoder[];
  /** The longest past that it is timed over: some fill theirs too slowly. Default: any. */
  readonly longest?: number;
  /** Fills every cache with this number of tokens. */
  fillTo(tokens: number): Promise<void>;
  dispose(): Promise<void>;
}

const policies = {
  full: full(),
  int8: quantized({bits: 8}),
  int4: quantized({bits: 4}),
  lowRank: onlineSvd(),
};

/** This package's engine, and the text that everyone reads. */
export interface OpenedModel {
  readonly engine: Engine;
  readonly ids: readonly number[];
  /** The first so many tokens, as text. */
  readonly textOf: (tokens: number) => string;
  /** The tokens of the longest text that the model was trained for. */
  readonly contextLength: number;
}

/** How this package stores a model's weights. */
export interface StoredWeights extends Pick<LoadModelOptions, 'weights' | 'activations'> {
  /** What tables call it. */
  readonly label: string;
}

/** `float32`, `asStored`, `asStored:int8`. @throws Error if it is none. */
export function storedWeights(text: string): StoredWeights {
  const [setting, activations] = text.split(':');
  const weights = weightSettings.find(name => name === setting);
  if (weights === undefined || (activations !== undefined && activations !== 'int8')) {
    throw new Error(
      `--weights ${text}: expected one of ${weightSettings.join(', ')}, with :int8 behind or not.`,
    );
  }
  return {weights, activations, label: activations === undefined ? weights : `${weights}, int8 activations`};
}

/**
 * This package's model under each policy, and the text that everyone reads: held-out prose, so attention is as it is.
 *
 * @param keep a folder where the past is kept between runs: computing it takes minutes.
 */
export async function openModel(
  source: string,
  {weights, activations, label}: StoredWeights,
  keep?: string,
): Promise<OpenedModel> {
  const {model, tokenizer, name, config, dispose} = await loadModel(source, {weights, activations});
  const ids = tokenizer.encode(await embeddedText('heldOut'));
  const snapshot = keep === undefined ? undefined : join(keep, `full.${label}.safetensors`);
  const read = async (cache: KVCache, tokens: number): Promise<void> => {
    const chunk = ids.slice(cache.tokens, cache.tokens + tokens);
    const logits = tf.tidy(() => model.apply(tf.tensor2d([chunk], undefined, 'int32'), {cache}) as tf.Tensor);
    await logits.data();
    logits.dispose();
  };
  /** The longest past so far, uncompressed; the caches are forks of its beginning. */
  const longest =
    snapshot !== undefined && existsSync(snapshot)
      ? await KVCache.restore(await readFile(snapshot), model)
      : new KVCache(model, policies.full, {beyondContext: true});
  let caches: readonly KVCache[] = [];
  const engine: Engine = {
    decoders: Object.keys(policies).map((codec, i) => ({
      ...{backend: tf.getBackend(), codec, shape: name, weights: label},
      step: () => read(caches[i]!, 1),
    })),
    fillTo: async tokens => {
      const missing = tokens - longest.tokens;
      while (longest.tokens < tokens) await read(longest, Math.min(128, tokens - longest.tokens));
      if (missing > 0 && snapshot !== undefined) await writeFile(snapshot, await longest.save());
      caches.forEach(cache => cache.dispose());
      caches = await Promise.all(Object.values(policies).map(policy => underPolicy(longest, tokens, policy)));
    },
    dispose: () => {
      [longest, ...caches].forEach(cache => cache.dispose());
      dispose();
      return Promise.resolve();
    },
  };
  const textOf = (tokens: number) => tokenizer.decode(ids.slice(0, tokens));
  return {engine, ids, textOf, contextLength: config.contextLength};
}

/** The first tokens of a past, as a policy stores them. */
async function underPolicy(past: KVCache, tokens: number, policy: Policy): Promise<KVCache> {
  const cache = past.fork();
  await cache.truncate(tokens);
  await cache.setPlan(policy);
  return cache;
}

/**
 * The time of one token at a context of `tokens` tokens: the engines' caches are filled, then all decoders take turns.
 *
 * @param filled waited for before anything is timed.
 */
export async function modelRows(
  engines: readonly Engine[],
  tokens: number,
  rounds: number,
  filled: () => Promise<void>,
): Promise<Row[]> {
  const able = engines.filter(({longest = Infinity}) => tokens <= longest);
  for (const engine of able) await engine.fillTo(tokens);
  await filled();
  const decoders = able.flatMap(engine => engine.decoders);
  // declared async: tinybench runs a function once to see whether it is, and waits for nothing
  const tasks = decoders.map(({step}, i) => [String(i), async () => await step()] as const);
  const ms = await measure(Object.fromEntries(tasks), rounds, 2);
  return decoders.map(({backend, codec, shape, weights = shape}, i) => ({
    ...{op: 'model', backend, codec, shape, weights, tokens, ms: ms[i]!},
    timesDense: ms[0]! / ms[i]!,
  }));
}
