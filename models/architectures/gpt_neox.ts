import * as v from 'valibot';
import {flag, ggufKeys, maybe, positive, readKeys} from '../formats/config_keys.js';
import {ropeFromGguf, ropeToGguf} from '../formats/gguf_rope.js';
import {sizesFromGguf, sizesToGguf} from '../formats/gguf_sizes.js';
import {hubRopeEntries, ropeFromHub, ropeToHub} from '../formats/hub_rope.js';
import {
  activationToHub,
  hubActivation,
  hubSizeEntries,
  sizesFromHub,
  sizesToHub,
} from '../formats/hub_sizes.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';
import {onlyActivationOfGguf} from './parts/gguf_refusals.js';
import {fusedAttention} from './parts/tensor_names.js';

/**
 * GPT-NeoX and Pythia (Black et al., 2022, arXiv 2204.06745; Biderman et al., 2023, arXiv 2304.01373): both parts of a block get its input, a
 * part of each head rotates, biases everywhere. The hub's files fuse queries, keys and values head by head.
 */
export const gptNeox = decoderArchitecture({
  hubTypes: ['gpt_neox'],
  ggufTypes: ['gptneox'],
  block: {norm: 'layer', gated: false},
  hubPrefix: 'gpt_neox.',
  hubNames: {
    embedding: 'gpt_neox.embed_in',
    block: 'gpt_neox.layers.@.',
    ...fusedAttention('attention.query_key_value'),
    attentionOutput: 'attention.dense',
    up: 'mlp.dense_h_to_4h',
    down: 'mlp.dense_4h_to_h',
    finalNorm: 'gpt_neox.final_layer_norm',
    head: 'embed_out',
  },
  hubLayout: {headwise: true},
  ggufNames: fusedAttention('attn_qkv'), // llama.cpp's converter puts them side by side
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const {attention_bias: hasBiases, rotary_emb_base: theta, rotary_pct: share = 0.25} = keys;
    const sizes = sizesFromHub(keys);
    return {
      architecture: 'gpt_neox',
      ...sizes,
      activation: keys.hidden_act,
      rope: ropeFromHub(keys, {theta, headDim: sizes.headDim, share}),
      parallel: keys.use_parallel_residual ? 'ownNorms' : undefined,
      normEpsilon: keys.layer_norm_eps,
      biases: {queryKeyValue: hasBiases, attentionOutput: hasBiases, feedForward: true},
    };
  },
  toHub(config) {
    const {rope = {}, headDim} = config;
    const keys = ropeToHub(rope, headDim);
    return {
      architectures: ['GPTNeoXForCausalLM'],
      model_type: 'gpt_neox',
      ...sizesToHub(config),
      ...keys,
      rotary_emb_base: keys['rope_theta'],
      rotary_pct: keys['partial_rotary_factor'],
      hidden_act: activationToHub(config.activation),
      use_parallel_residual: config.parallel === 'ownNorms',
      layer_norm_eps: config.normEpsilon,
      attention_bias: config.biases.queryKeyValue,
    };
  },
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'gptneox');
    const sizes = sizesFromGguf(file, keys, 'layer');
    return {
      architecture: 'gpt_neox',
      ...sizes,
      activation: 'gelu', // as its authors have it; llama.cpp takes the approximation by tanh
      rope: await ropeFromGguf(file, keys, {...sizes, partial: true}),
      parallel: keys.boolean('use_parallel_residual') === false ? undefined : 'ownNorms',
    };
  },
  toGguf(config) {
    onlyActivationOfGguf(config, 'gelu');
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    return {
      type: 'gptneox',
      keys: {
        ...sizesToGguf(config, 'layer'),
        ...keys,
        use_parallel_residual: config.parallel === 'ownNorms',
      },
      tensors,
    };
  },
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  hidden_act: hubActivation('gelu'),
  layer_norm_eps: positive,
  attention_bias: flag(true),
  use_parallel_residual: flag(true),
  rotary_emb_base: maybe(positive),
  rotary_pct: maybe(v.pipe(positive, v.maxValue(1, 'expected a share of each head, at most 1'))),
});
