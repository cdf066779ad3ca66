import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {feedForward} from '../../layers/feed_forward.js';
import {rmsNormalization} from '../../layers/rms_normalization.js';
import {ModelError} from '../../base/errors.js';
import {
  type Architecture,
  type GgufConfig,
  type StoredWeight,
  type WeightNames,
  isKernel,
  storedAs,
  weightNames,
} from './parts/architecture.js';
import {type BuildOptions, matrixArgs} from './parts/build_options.js';
import {attentionLayer, attentionSizes, hasOutputBias} from './parts/compression.js';
import {decoder} from './parts/decoder.js';
import {count, flag, ggufKeys, ggufVocabSize, maybe, positive, readKeys} from '../formats/config_keys.js';
import {ropeFromGguf, ropeToGguf} from '../formats/gguf_rope.js';
import {hubRopeEntries, ropeFromHub, ropeToHub} from '../formats/hub_rope.js';
import type {ModelConfig} from './parts/model_config.js';
import {metadataString} from '../../base/files/gguf_metadata.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {float32, uint32} from '../../base/files/write_gguf_metadata.js';

/**
 * Llama 2 and 3 and what is built like them: SmolLM2, TinyLlama, Qwen2 (Touvron et al., 2023, arXiv 2307.09288; Grattafiori
 * et al., 2024, arXiv 2407.21783; Yang et al., 2024, arXiv 2407.10671). Grouped-query heads, rotary positions, RMS norms,
 * SwiGLU; biases and tied embeddings if the config says so.
 */
export const llama: Architecture = {
  hubTypes: ['llama', 'qwen2'],
  ggufTypes: ['llama', 'qwen2'],
  fromHub,
  fromGguf,
  toHub,
  toGguf,
  build,
  hubPrefix: 'model.',
  hubWeights: config => names(config).map(name => storedAs(name.hub, name, isKernel(name))),
  ggufWeights,
};

function build(config: ModelConfig, options: BuildOptions): tf.LayersModel {
  const {hiddenDim, activation, normEpsilon, biases} = config;
  return decoder(config, options, {
    norm: name => rmsNormalization({name, epsilon: normEpsilon}),
    attention: (name, depth) => attentionLayer(config, {name, depth}, options),
    feedForward: name =>
      feedForward({
        ...matrixArgs(options, name, ['gate', 'up', 'down']),
        hiddenDim,
        activation,
        useBias: biases.feedForward,
      }),
  });
}

const hubSchema = v.object({
  model_type: v.picklist(['llama', 'qwen2'], 'expected "llama" or "qwen2"'),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: maybe(count),
  head_dim: maybe(count),
  hidden_act: v.nullish(v.literal('silu', 'eigenkv knows "silu" here'), 'silu'),
  rms_norm_eps: positive,
  attention_bias: flag(false),
  mlp_bias: flag(false),
  tie_word_embeddings: flag(false),
  sliding_window: maybe(count),
  use_sliding_window: maybe(v.boolean('expected true or false')),
  layer_types: maybe(
    v.array(
      v.literal('full_attention', 'every layer must be "full_attention": eigenkv has no window of attention'),
    ),
  ),
  ...hubRopeEntries,
});

function fromHub(config: Readonly<Record<string, unknown>>): ModelConfig {
  const keys = readKeys(hubSchema, config, 'config.json');
  const {model_type: type, hidden_size: dim, num_attention_heads: heads} = keys;
  // Qwen2's files name a window and say that it is not used; Llama's have one only if it is used
  if (keys.use_sliding_window ?? (type === 'llama' && keys.sliding_window !== undefined)) {
    throw new ModelError(
      `config.json has sliding_window = ${keys.sliding_window ?? 'null'} in use; eigenkv has no model with a window of attention. ` +
        'Use the sliding policy of a cache on a model without one.',
    );
  }
  return {
    architecture: 'llama',
    vocabSize: keys.vocab_size,
    contextLength: keys.max_position_embeddings,
    depths: keys.num_hidden_layers,
    dim,
    heads,
    kvHeads: keys.num_key_value_heads ?? heads,
    headDim: keys.head_dim ?? dim / heads,
    hiddenDim: keys.intermediate_size,
    activation: keys.hidden_act,
    rope: ropeFromHub(keys),
    normEpsilon: keys.rms_norm_eps,
    biases: {
      queryKeyValue: type === 'qwen2' || keys.attention_bias,
      attentionOutput: type === 'llama' && keys.attention_bias,
      feedForward: keys.mlp_bias,
    },
    tiedEmbeddings: keys.tie_word_embeddings,
  };
}

function toHub(config: ModelConfig): Record<string, unknown> {
  const {queryKeyValue, attentionOutput, feedForward: mlpBias} = config.biases;
  const type = queryKeyValue && !attentionOutput ? 'qwen2' : 'llama';
  if ((type === 'llama' && attentionOutput !== queryKeyValue) || (type === 'qwen2' && mlpBias)) {
    throw new ModelError(
      'No config.json of the hub describes this choice of biases; the model can be used but not saved in this format.',
    );
  }
  return {
    architectures: [type === 'llama' ? 'LlamaForCausalLM' : 'Qwen2ForCausalLM'],
    model_type: type,
    vocab_size: config.vocabSize,
    hidden_size: config.dim,
    intermediate_size: config.hiddenDim,
    num_hidden_layers: config.depths,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    max_position_embeddings: config.contextLength,
    hidden_act: config.activation,
    rms_norm_eps: config.normEpsilon,
    ...ropeToHub(config.rope ?? {}),
    ...(type === 'llama' ? {attention_bias: queryKeyValue, mlp_bias: mlpBias} : {use_sliding_window: false}),
    tie_word_embeddings: config.tiedEmbeddings,
  };
}

async function fromGguf(file: TensorFile): Promise<ModelConfig> {
  const ggufType = metadataString(file.metadata, 'general.architecture') ?? 'llama';
  const keys = ggufKeys(file.metadata, ggufType);
  const dim = keys.neededNumber('embedding_length');
  const heads = keys.neededNumber('attention.head_count');
  const headDim = keys.number('attention.key_length') ?? dim / heads;
  const valueDim = keys.number('attention.value_length') ?? headDim;
  if (valueDim !== headDim) {
    throw new ModelError(
      `The GGUF file has attention.key_length = ${headDim} and attention.value_length = ${valueDim}; eigenkv needs equal ones.`,
    );
  }
  for (const key of ['expert_count', 'attention.sliding_window']) {
    if ((keys.number(key) ?? 0) > 0) {
      throw new ModelError(
        `The GGUF file has ${ggufType}.${key} = ${keys.number(key)!}; eigenkv knows no such models.`,
      );
    }
  }
  const contextLength = keys.neededNumber('context_length');
  return {
    architecture: 'llama',
    vocabSize: ggufVocabSize(file, keys),
    contextLength,
    depths: keys.neededNumber('block_count'),
    dim,
    heads,
    kvHeads: keys.number('attention.head_count_kv') ?? heads,
    headDim,
    hiddenDim: keys.neededNumber('feed_forward_length'),
    activation: 'silu',
    rope: await ropeFromGguf(file, keys, headDim, contextLength),
    normEpsilon: keys.neededNumber('attention.layer_norm_rms_epsilon'),
    biases: {
      queryKeyValue: file.tensors.has('blk.0.attn_q.bias'),
      attentionOutput: file.tensors.has('blk.0.attn_output.bias'),
      feedForward: file.tensors.has('blk.0.ffn_up.bias'),
    },
    tiedEmbeddings: !file.tensors.has('output.weight'),
  };
}

function toGguf(config: ModelConfig): GgufConfig {
  const {headDim, biases, rope} = config;
  // llama.cpp's "qwen2" has biases of queries, keys and values and no others; its "llama" has whichever the file has
  const isQwen2 = biases.queryKeyValue && !biases.attentionOutput && !biases.feedForward;
  const {keys, tensors} = ropeToGguf(rope, headDim);
  return {
    type: isQwen2 ? 'qwen2' : 'llama',
    keys: {
      vocab_size: uint32(config.vocabSize),
      context_length: uint32(config.contextLength),
      embedding_length: uint32(config.dim),
      block_count: uint32(config.depths),
      feed_forward_length: uint32(config.hiddenDim),
      'attention.head_count': uint32(config.heads),
      'attention.head_count_kv': uint32(config.kvHeads),
      'attention.key_length': uint32(headDim),
      'attention.value_length': uint32(headDim),
      'attention.layer_norm_rms_epsilon': float32(config.normEpsilon),
      ...keys,
    },
    tensors,
  };
}

/** What fills each variable: a projection's bias if the config has one, and the output head if it is not tied. */
function names(config: ModelConfig): WeightNames[] {
  const {vocabSize, depths, dim, hiddenDim, biases, tiedEmbeddings} = config;
  const block = (depth: number): WeightNames[] => {
    const at = (variable: string, hub: string, gguf: string, ...shape: number[]) =>
      weightNames(variable, `model.layers.${depth}.${hub}`, `blk.${depth}.${gguf}`, shape);
    const projection =
      (layer: string, bias: boolean) =>
      (name: string, hub: string, gguf: string, inputs: number, outputs: number): WeightNames[] => [
        at(`${layer}_${depth}/${name}_kernel`, `${hub}.weight`, `${gguf}.weight`, inputs, outputs),
        ...(bias ? [at(`${layer}_${depth}/${name}_bias`, `${hub}.bias`, `${gguf}.bias`, outputs)] : []),
      ];
    const attends = projection('attention', biases.queryKeyValue);
    const joins = projection('attention', hasOutputBias(config));
    const {query, key, value, joined, extra} = attentionSizes(config, depth);
    const feeds = projection('feed_forward', biases.feedForward);
    return [
      at(`attention_norm_${depth}/gain`, 'input_layernorm.weight', 'attn_norm.weight', dim),
      ...attends('query', 'self_attn.q_proj', 'attn_q', dim, query),
      ...attends('key', 'self_attn.k_proj', 'attn_k', dim, key),
      ...attends('value', 'self_attn.v_proj', 'attn_v', dim, value),
      ...joins('output', 'self_attn.o_proj', 'attn_output', joined, dim),
      ...extra.map(({variable, hub, shape}) =>
        at(`attention_${depth}/${variable}`, `self_attn.${hub}`, `attn_${hub}`, ...shape),
      ),
      at(`feed_forward_norm_${depth}/gain`, 'post_attention_layernorm.weight', 'ffn_norm.weight', dim),
      ...feeds('gate', 'mlp.gate_proj', 'ffn_gate', dim, hiddenDim),
      ...feeds('up', 'mlp.up_proj', 'ffn_up', dim, hiddenDim),
      ...feeds('down', 'mlp.down_proj', 'ffn_down', hiddenDim, dim),
    ];
  };
  return [
    weightNames('embedding/embeddings', 'model.embed_tokens.weight', 'token_embd.weight', [vocabSize, dim]),
    ...Array.from({length: depths}, (_, depth) => block(depth)).flat(),
    weightNames('final_norm/gain', 'model.norm.weight', 'output_norm.weight', [dim]),
    ...(tiedEmbeddings
      ? []
      : [weightNames('output/kernel', 'lm_head.weight', 'output.weight', [dim, vocabSize])]),
  ];
}

function ggufWeights(config: ModelConfig, ggufType: string): StoredWeight[] {
  return names(config).map(name => {
    const stored = storedAs(name.gguf, name, isKernel(name));
    // llama.cpp's converter permutes the rows of q and k for "llama" and not for "qwen2"
    const rotated = ggufType === 'llama' ? /\/(query|key)_/.exec(name.variables[0]!)?.[1] : undefined;
    if (rotated === undefined) return stored;
    return {...stored, interleavedHeads: rotated === 'query' ? config.heads : config.kvHeads};
  });
}
