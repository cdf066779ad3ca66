import * as v from 'valibot';
import type {GgufConfig} from './parts/architecture.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';
import {fusedAttention} from './parts/tensor_names.js';
import {count, flag, ggufKeys, ggufVocabSize, maybe, positive, readKeys} from '../formats/config_keys.js';
import {activationToHub, hubActivation} from '../formats/hub_sizes.js';
import type {ModelConfig} from './parts/model_config.js';
import {ModelError} from '../../base/errors.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {float32, uint32} from '../../base/files/write_gguf_metadata.js';

/**
 * GPT-2 (Radford et al., 2019, "Language models are unsupervised multitask learners"): learned positions, layer norms,
 * biases everywhere, tied embeddings. The files fuse q, k and v; the layer has them apart.
 */
export const gpt2 = decoderArchitecture({
  hubTypes: ['gpt2'],
  ggufTypes: ['gpt2'],
  fromHub,
  fromGguf: file => Promise.resolve(fromGguf(file)),
  toHub,
  toGguf,
  block: {norm: 'layer', gated: false, firstPosition: 0},
  hubPrefix: 'transformer.',
  hubNames: {
    embedding: 'transformer.wte',
    positions: 'transformer.wpe',
    block: 'transformer.h.@.',
    attentionNorm: 'ln_1',
    ...fusedAttention('attn.c_attn'),
    attentionOutput: 'attn.c_proj',
    feedForwardNorm: 'ln_2',
    up: 'mlp.c_fc',
    down: 'mlp.c_proj',
    finalNorm: 'transformer.ln_f',
  },
  hubLayout: {inputsFirst: true}, // "Conv1D"
  ggufNames: fusedAttention('attn_qkv'),
});

const hubSchema = v.object({
  vocab_size: count,
  n_embd: count,
  n_layer: count,
  n_head: count,
  n_positions: count,
  n_inner: maybe(count),
  layer_norm_epsilon: positive,
  activation_function: hubActivation('gelu_new'),
  tie_word_embeddings: flag(true),
  scale_attn_weights: v.nullish(v.literal(true, 'eigenkv always scales scores')),
  scale_attn_by_inverse_layer_idx: v.nullish(v.literal(false, 'eigenkv scales scores alike at every depth')),
  add_cross_attention: v.nullish(v.literal(false, 'eigenkv has no cross-attention')),
});

function fromHub(config: Readonly<Record<string, unknown>>): ModelConfig {
  const keys = readKeys(hubSchema, config, 'config.json');
  return {
    ...shape(keys.n_embd, keys.n_head),
    vocabSize: keys.vocab_size,
    contextLength: keys.n_positions,
    depths: keys.n_layer,
    hiddenDim: keys.n_inner ?? 4 * keys.n_embd,
    activation: keys.activation_function,
    normEpsilon: keys.layer_norm_epsilon,
    tiedEmbeddings: keys.tie_word_embeddings,
  };
}

function fromGguf(file: TensorFile): ModelConfig {
  const keys = ggufKeys(file.metadata, 'gpt2');
  return {
    ...shape(keys.neededNumber('embedding_length'), keys.neededNumber('attention.head_count')),
    vocabSize: ggufVocabSize(file, keys),
    contextLength: keys.neededNumber('context_length'),
    depths: keys.neededNumber('block_count'),
    hiddenDim: keys.neededNumber('feed_forward_length'),
    activation: 'geluNew',
    normEpsilon: keys.neededNumber('attention.layer_norm_epsilon'),
    tiedEmbeddings: !file.tensors.has('output.weight'),
  };
}

/** What all GPT-2 models share, and what follows from the two numbers. */
function shape(dim: number, heads: number) {
  return {
    architecture: 'gpt2',
    dim,
    heads,
    kvHeads: heads,
    headDim: dim / heads,
    biases: {queryKeyValue: true, attentionOutput: true, feedForward: true},
  } as const;
}

function toHub(config: ModelConfig): Record<string, unknown> {
  return {
    architectures: ['GPT2LMHeadModel'],
    model_type: 'gpt2',
    vocab_size: config.vocabSize,
    n_embd: config.dim,
    n_layer: config.depths,
    n_head: config.heads,
    n_positions: config.contextLength,
    n_ctx: config.contextLength,
    n_inner: config.hiddenDim,
    layer_norm_epsilon: config.normEpsilon,
    activation_function: activationToHub(config.activation),
    tie_word_embeddings: config.tiedEmbeddings,
  };
}

function toGguf(config: ModelConfig): GgufConfig {
  if (config.activation !== 'geluNew') {
    throw new ModelError(
      `A GGUF file of GPT-2 stands for the activation "geluNew"; this model has "${config.activation}". Save the model into a folder ` +
        'instead (a path without .gguf).',
    );
  }
  return {
    type: 'gpt2',
    keys: {
      vocab_size: uint32(config.vocabSize),
      context_length: uint32(config.contextLength),
      embedding_length: uint32(config.dim),
      block_count: uint32(config.depths),
      feed_forward_length: uint32(config.hiddenDim),
      'attention.head_count': uint32(config.heads),
      'attention.layer_norm_epsilon': float32(config.normEpsilon),
    },
  };
}
