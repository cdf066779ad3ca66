import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {feedForward} from '../../layers/feed_forward.js';
import {positionEmbedding} from '../../layers/position_embedding.js';
import {
  type Architecture,
  type GgufConfig,
  type WeightNames,
  isKernel,
  storedAs,
  weightNames,
} from './parts/architecture.js';
import {type BuildOptions, matrixArgs} from './parts/build_options.js';
import {attentionLayer, attentionSizes} from './parts/compression.js';
import {decoder} from './parts/decoder.js';
import {count, flag, ggufKeys, ggufVocabSize, maybe, positive, readKeys} from '../formats/config_keys.js';
import type {ModelConfig} from './parts/model_config.js';
import {ModelError} from '../../base/errors.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {float32, uint32} from '../../base/files/write_gguf_metadata.js';

/**
 * GPT-2 (Radford et al., 2019, "Language models are unsupervised multitask learners"): learned positions, layer norms,
 * biases everywhere, tied embeddings. The files fuse q, k and v; the layer has them apart.
 */
export const gpt2: Architecture = {
  hubTypes: ['gpt2'],
  ggufTypes: ['gpt2'],
  fromHub,
  fromGguf: file => Promise.resolve(fromGguf(file)),
  toHub,
  toGguf,
  build,
  hubPrefix: 'transformer.',
  // but for an output head of its own, the hub's matrices are "Conv1D", [inputs, outputs]
  hubWeights: config => names(config).map(name => storedAs(name.hub, name, name.hub === 'lm_head.weight')),
  ggufWeights: config => names(config).map(name => storedAs(name.gguf, name, isKernel(name))),
};

function build(config: ModelConfig, options: BuildOptions): tf.LayersModel {
  const {hiddenDim, activation, contextLength, normEpsilon} = config;
  const {kernelInitializer} = options;
  return decoder(config, options, {
    positions: positionEmbedding({name: 'positions', maxPositions: contextLength, kernelInitializer}),
    norm: name => tf.layers.layerNormalization({name, epsilon: normEpsilon}),
    attention: (name, depth) => attentionLayer(config, {name, depth}, options),
    feedForward: name =>
      feedForward({
        ...matrixArgs(options, name, ['up', 'down']),
        hiddenDim,
        activation,
        gated: false,
        useBias: true,
      }),
  });
}

/** The hub's names of activations, and ours. */
const activations = {
  gelu_new: 'geluNew',
  gelu_pytorch_tanh: 'geluNew',
  gelu: 'gelu',
  relu: 'relu',
  silu: 'silu',
} as const;
const activationNames = Object.keys(activations) as (keyof typeof activations)[];

const hubSchema = v.object({
  vocab_size: count,
  n_embd: count,
  n_layer: count,
  n_head: count,
  n_positions: count,
  n_inner: maybe(count),
  layer_norm_epsilon: positive,
  activation_function: v.nullish(
    v.picklist(activationNames, `expected one of ${activationNames.join(', ')}`),
    'gelu_new',
  ),
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
    activation: activations[keys.activation_function],
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
    activation_function: activationNames.find(name => activations[name] === config.activation),
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

function names(config: ModelConfig): WeightNames[] {
  const {vocabSize, contextLength, depths, dim, hiddenDim, tiedEmbeddings} = config;
  const block = (depth: number): WeightNames[] => {
    const at = (variables: string | string[], hub: string, gguf: string, ...shape: number[]) =>
      weightNames(variables, `transformer.h.${depth}.${hub}`, `blk.${depth}.${gguf}`, shape);
    const norm = (layer: string, hub: string, gguf: string) => [
      at(`${layer}_${depth}/gamma`, `${hub}.weight`, `${gguf}.weight`, dim),
      at(`${layer}_${depth}/beta`, `${hub}.bias`, `${gguf}.bias`, dim),
    ];
    const projection =
      (layer: string) =>
      (names: string[], hub: string, gguf: string, inputs: number, outputs: number): WeightNames[] => {
        const variables = (what: string) => names.map(name => `${layer}_${depth}/${name}_${what}`);
        return [
          at(variables('kernel'), `${hub}.weight`, `${gguf}.weight`, inputs, outputs),
          at(variables('bias'), `${hub}.bias`, `${gguf}.bias`, outputs),
        ];
      };
    const [attends, feeds] = [projection('attention'), projection('feed_forward')];
    const {query, key, value, joined} = attentionSizes(config, depth); // without rotation nothing but sizes differs
    return [
      ...norm('attention_norm', 'ln_1', 'attn_norm'),
      ...attends(['query', 'key', 'value'], 'attn.c_attn', 'attn_qkv', dim, query + key + value),
      ...attends(['output'], 'attn.c_proj', 'attn_output', joined, dim),
      ...norm('feed_forward_norm', 'ln_2', 'ffn_norm'),
      ...feeds(['up'], 'mlp.c_fc', 'ffn_up', dim, hiddenDim),
      ...feeds(['down'], 'mlp.c_proj', 'ffn_down', hiddenDim, dim),
    ];
  };
  return [
    weightNames('embedding/embeddings', 'transformer.wte.weight', 'token_embd.weight', [vocabSize, dim]),
    weightNames('positions/positions', 'transformer.wpe.weight', 'position_embd.weight', [
      contextLength,
      dim,
    ]),
    ...Array.from({length: depths}, (_, depth) => block(depth)).flat(),
    weightNames('final_norm/gamma', 'transformer.ln_f.weight', 'output_norm.weight', [dim]),
    weightNames('final_norm/beta', 'transformer.ln_f.bias', 'output_norm.bias', [dim]),
    ...(tiedEmbeddings
      ? []
      : [weightNames('output/kernel', 'lm_head.weight', 'output.weight', [dim, vocabSize])]),
  ];
}
