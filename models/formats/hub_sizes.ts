import * as v from 'valibot';
import type {Activation} from '../../layers/feed_forward.js';
import type {ModelConfig} from '../architectures/parts/model_config.js';
import {count, flag, maybe} from './config_keys.js';

/** The keys of a hub's config.json that most models have, but for `max_position_embeddings`, which is among `hubRopeEntries`. */
export const hubSizeEntries = {
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: maybe(count),
  head_dim: maybe(count),
  tie_word_embeddings: flag(false),
};
type HubSizeKeys = v.InferOutput<v.ObjectSchema<typeof hubSizeEntries, undefined>> & {
  readonly max_position_embeddings: number;
};

/** The sizes that those keys state. */
export function sizesFromHub(keys: HubSizeKeys) {
  const {hidden_size: dim, num_attention_heads: heads} = keys;
  return {
    vocabSize: keys.vocab_size,
    contextLength: keys.max_position_embeddings,
    depths: keys.num_hidden_layers,
    dim,
    heads,
    kvHeads: keys.num_key_value_heads ?? heads,
    headDim: keys.head_dim ?? dim / heads,
    hiddenDim: keys.intermediate_size,
    tiedEmbeddings: keys.tie_word_embeddings,
  };
}

/** The keys that `sizesFromHub` reads. */
export function sizesToHub(config: ModelConfig): Record<string, unknown> {
  return {
    vocab_size: config.vocabSize,
    hidden_size: config.dim,
    intermediate_size: config.hiddenDim,
    num_hidden_layers: config.depths,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    max_position_embeddings: config.contextLength,
    tie_word_embeddings: config.tiedEmbeddings,
  };
}

/** The hub's names of activations, and ours. */
const activations = {
  gelu_new: 'geluNew',
  gelu_pytorch_tanh: 'geluNew',
  gelu_fast: 'geluNew',
  gelu: 'gelu',
  relu: 'relu',
  silu: 'silu',
} as const satisfies Readonly<Record<string, Activation>>;
type HubActivation = keyof typeof activations;
const activationNames = Object.keys(activations) as HubActivation[];

/** A key that names an activation, which becomes ours. */
export const hubActivation = (otherwise: HubActivation) =>
  v.pipe(
    v.nullish(v.picklist(activationNames, `expected one of ${activationNames.join(', ')}`), otherwise),
    v.transform(name => activations[name]),
  );

/** The hub's name of an activation. */
export function activationToHub(activation: Activation): string {
  return activationNames.find(name => activations[name] === activation)!;
}
