import * as v from 'valibot';
import {float32} from '../../base/files/write_gguf_metadata.js';
import {count, flag, ggufKeys, maybe, positive, readKeys} from '../formats/config_keys.js';
import {ropeFromGguf, ropeToGguf} from '../formats/gguf_rope.js';
import {sizesFromGguf, sizesToGguf} from '../formats/gguf_sizes.js';
import {windowsFromGguf, windowsToGguf} from '../formats/gguf_windows.js';
import {hubRopeEntries} from '../formats/hub_rope.js';
import {ropesFromHub, ropesToHub} from '../formats/hub_window_rope.js';
import {
  activationToHub,
  hubActivation,
  hubSizeEntries,
  sizesFromHub,
  sizesToHub,
} from '../formats/hub_sizes.js';
import {hubWindowEntries, usualWindow, windowsFromHub, windowsToHub} from '../formats/hub_windows.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';
import {gemmaScaleOfGguf, gemmaScaleToGguf} from './parts/gemma_scale.js';
import {onlyActivationOfGguf, refused} from './parts/gguf_refusals.js';

/** Every so manyth layer has no window, if files do not say which. */
const period = 6;
const depthsOf27B = 62;

/**
 * Gemma 3, text (Gemma team, 2025, arXiv 2503.19786): Gemma 2 with norms of queries and keys by head in place of the soft cap of scores, and a
 * window at five of six depths, which rotate by another base. The hub's files have gains of norms less 1.
 */
export const gemma3 = decoderArchitecture({
  hubTypes: ['gemma3_text'],
  ggufTypes: ['gemma3'],
  block: {normPlace: 'both', qkNorm: 'head'},
  hubNames: {feedForwardNorm: 'pre_feedforward_layernorm'},
  hubLayout: {addedToGains: 1}, // llama.cpp's converter adds it
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const every = keys.sliding_window_pattern;
    const sizes = sizesFromHub(keys);
    const windows = windowsFromHub(keys, sizes.depths, depth => (depth + 1) % every !== 0);
    const {rope, windowRope} = ropesFromHub(keys, {theta: 1e6, windowTheta: 1e4});
    return {
      architecture: 'gemma3',
      ...sizes,
      headDim: keys.head_dim ?? 256, // whatever dim and heads are
      activation: keys.hidden_activation,
      rope,
      ...windows,
      ...(windows.window !== undefined && {windowRope}),
      attentionScale: 1 / Math.sqrt(keys.query_pre_attn_scalar),
      attentionSoftCap: keys.attn_logit_softcapping,
      logitSoftCap: keys.final_logit_softcapping,
      embeddingScale: Math.sqrt(sizes.dim),
      normEpsilon: keys.rms_norm_eps,
      biases: {
        queryKeyValue: keys.attention_bias,
        attentionOutput: keys.attention_bias,
        feedForward: false,
      },
    };
  },
  toHub: config => ({
    architectures: ['Gemma3ForCausalLM'],
    model_type: 'gemma3_text',
    ...sizesToHub(config),
    ...ropesToHub(config),
    ...windowsToHub(config),
    hidden_activation: activationToHub(config.activation),
    query_pre_attn_scalar: config.attentionScale === undefined ? config.headDim : config.attentionScale ** -2,
    attn_logit_softcapping: config.attentionSoftCap ?? null,
    final_logit_softcapping: config.logitSoftCap ?? null,
    rms_norm_eps: config.normEpsilon,
    attention_bias: config.biases.queryKeyValue,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'gemma3');
    const sizes = sizesFromGguf(file, keys, 'rms');
    const windows = windowsFromGguf(file, keys, sizes.depths, period);
    return {
      architecture: 'gemma3',
      ...sizes,
      activation: 'geluNew',
      rope: await ropeFromGguf(file, keys, sizes),
      ...windows,
      ...(windows.window !== undefined && {
        windowRope: {theta: keys.number('rope.freq_base_swa') ?? 1e4},
      }),
      attentionScale: gemmaScaleOfGguf(sizes, depthsOf27B),
      logitSoftCap: keys.number('final_logit_softcapping'),
      embeddingScale: Math.sqrt(sizes.dim),
    };
  },
  toGguf(config) {
    const {rope, window, windowRope = rope, headDim, architecture, attentionSoftCap, logitSoftCap} = config;
    onlyActivationOfGguf(config, 'geluNew');
    gemmaScaleToGguf(config, depthsOf27B);
    if (attentionSoftCap !== undefined) throw refused('a soft cap of attention scores', architecture);
    if (window !== undefined && windowRope?.scaling !== undefined) {
      throw refused('a stretched rotation at depths with a window', architecture);
    }
    const {keys, tensors} = ropeToGguf(rope, headDim);
    return {
      type: 'gemma3',
      keys: {
        ...sizesToGguf(config, 'rms'),
        ...keys,
        ...windowsToGguf(config),
        ...(window !== undefined && {'rope.freq_base_swa': float32(windowRope?.theta ?? 10000)}),
        ...(logitSoftCap !== undefined && {final_logit_softcapping: float32(logitSoftCap)}),
      },
      tensors,
    };
  },
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  ...hubWindowEntries,
  // text models of those that read images leave out what is the default of their class
  vocab_size: v.nullish(count, 262208),
  num_attention_heads: v.nullish(count, 8),
  num_key_value_heads: v.nullish(count, 4),
  max_position_embeddings: v.nullish(count, 131072),
  rms_norm_eps: v.nullish(positive, 1e-6),
  tie_word_embeddings: flag(true),
  hidden_activation: hubActivation('gelu_pytorch_tanh'),
  sliding_window: usualWindow,
  sliding_window_pattern: v.nullish(count, period),
  rope_local_base_freq: maybe(positive),
  query_pre_attn_scalar: v.nullish(positive, 256),
  attn_logit_softcapping: maybe(positive),
  final_logit_softcapping: maybe(positive),
  attention_bias: flag(false),
  use_bidirectional_attention: maybe(v.literal(false, 'eigenkv has causal attention only')),
});
