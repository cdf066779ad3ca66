import * as tf from '@tensorflow/tfjs';
import type {FreshTokens} from '../cache/fresh_tokens.js';
import {type AttentionCache, KVCache} from '../cache/kv_cache.js';
import {full} from '../cache/policies/full.js';
import {onlineSvd} from '../cache/policies/online_svd.js';
import {quantized} from '../cache/policies/quantized.js';
import {embeddedText, loadModel} from '../models/index.js';
import {measure} from './support/measure.js';
import type {Row} from './support/row.js';

/** One way to decode a text: an engine, its weights and the form of its cache. */
export interface Decoder extends Pick<Row, 'backend' | 'codec' | 'shape'> {
  /** Takes one token in and makes the logits of the next. */
  step(): Promise<void>;
}

/** The ways of one engine. They read the same text, each into a cache of its own. */
export interface Engine {
  readonly decoders: readonly Decoder[];
  /** Lets every cache grow to so many tokens. */
  fillTo(tokens: number): Promise<void>;
  dispose(): Promise<void>;
}

const policies = {
  full: full(),
  int8: quantized({bits: 8}),
  int4: quantized({bits: 4}),
  lowRank: onlineSvd(),
};

/** This package's model under each policy, and the text that everyone reads: held-out prose, so attention is as it is. */
export async function openModel(source: string): Promise<{engine: Engine; ids: readonly number[]}> {
  const {model, tokenizer, name, dispose} = await loadModel(source);
  const ids = tokenizer.encode(await embeddedText('heldOut'));
  const caches = Object.values(policies).map(policy => new KVCache(model, policy, {beyondContext: true}));
  const together = new CachesTogether(caches);
  const read = async (cache: AttentionCache, tokens: number): Promise<void> => {
    const chunk = ids.slice(cache.tokens, cache.tokens + tokens);
    const logits = tf.tidy(() => model.apply(tf.tensor2d([chunk], undefined, 'int32'), {cache}) as tf.Tensor);
    await logits.data();
    logits.dispose();
  };
  const engine: Engine = {
    decoders: Object.keys(policies).map((codec, i) => ({
      ...{backend: tf.getBackend(), codec, shape: name},
      step: () => read(caches[i]!, 1),
    })),
    fillTo: async tokens => {
      for (let left = tokens - together.tokens; left > 0; left = tokens - together.tokens) {
        await read(together, Math.min(128, left));
      }
    },
    dispose: () => {
      caches.forEach(cache => cache.dispose());
      dispose();
      return Promise.resolve();
    },
  };
  return {engine, ids};
}

/** Several caches that take the same tokens in, so that the model's other layers run once for all of them. */
class CachesTogether implements AttentionCache {
  readonly beyondContext = true;

  constructor(private readonly caches: readonly KVCache[]) {}

  get tokens(): number {
    return this.caches[0]!.tokens;
  }

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    const [output, ...others] = this.caches.map(cache => cache.attend(depth, fresh));
    tf.dispose(others);
    return output!;
  }
}

/**
 * The time of one token behind `tokens` others: the engines' caches are filled, then all decoders take turns.
 *
 * @param filled waited for before anything is timed.
 */
export async function modelRows(
  engines: readonly Engine[],
  tokens: number,
  rounds: number,
  filled: () => Promise<void>,
): Promise<Row[]> {
  for (const engine of engines) await engine.fillTo(tokens);
  await filled();
  const decoders = engines.flatMap(engine => engine.decoders);
  // declared async: tinybench runs a function once to see whether it is, and waits for nothing
  const tasks = decoders.map(({step}, i) => [String(i), async () => await step()] as const);
  const ms = await measure(Object.fromEntries(tasks), rounds, 2);
  return decoders.map(({backend, codec, shape}, i) => ({
    ...{op: 'model', backend, codec, shape, tokens, ms: ms[i]!},
    timesDense: ms[0]! / ms[i]!,
  }));
}
