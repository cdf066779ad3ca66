import * as v from 'valibot';
import {float32} from '../../base/files/write_gguf_metadata.js';
import {flag, ggufKeys, maybe, positive, readKeys} from '../formats/config_keys.js';
import {ropeFromGguf, ropeToGguf} from '../formats/gguf_rope.js';
import {sizesFromGguf, sizesToGguf} from '../formats/gguf_sizes.js';
import {windowsFromGguf, windowsToGguf} from '../formats/gguf_windows.js';
import {hubRopeEntries, ropeFromHub, ropeToHub} from '../formats/hub_rope.js';
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
import {onlyActivationOfGguf} from './parts/gguf_refusals.js';

/** Every so manyth layer has no window. */
const period = 2;
const depthsOf27B = 46;

/**
 * Gemma 2 (Gemma team, 2024, arXiv 2408.00118): four norms a block, a window at every second depth, soft caps of attention scores and of
 * logits. The hub's files have gains of norms less 1.
 */
export const gemma2 = decoderArchitecture({
  hubTypes: ['gemma2'],
  ggufTypes: ['gemma2'],
  block: {normPlace: 'both'},
  hubNames: {feedForwardNorm: 'pre_feedforward_layernorm'},
  hubLayout: {addedToGains: 1}, // llama.cpp's converter adds it
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const sizes = sizesFromHub(keys);
    return {
      architecture: 'gemma2',
      ...sizes,
      headDim: keys.head_dim ?? 256, // whatever dim and heads are
      activation: keys.hidden_activation,
      rope: ropeFromHub(keys),
      ...windowsFromHub(keys, sizes.depths, depth => (depth + 1) % period !== 0),
      attentionScale: 1 / Math.sqrt(keys.query_pre_attn_scalar),
      attentionSoftCap: keys.attn_logit_softcapping ?? undefined,
      logitSoftCap: keys.final_logit_softcapping ?? undefined,
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
    architectures: ['Gemma2ForCausalLM'],
    model_type: 'gemma2',
    ...sizesToHub(config),
    ...ropeToHub(config.rope ?? {}),
    ...windowsToHub(config),
    hidden_activation: activationToHub(config.activation),
    query_pre_attn_scalar: config.attentionScale === undefined ? config.headDim : config.attentionScale ** -2,
    attn_logit_softcapping: config.attentionSoftCap ?? null,
    final_logit_softcapping: config.logitSoftCap ?? null,
    rms_norm_eps: config.normEpsilon,
    attention_bias: config.biases.queryKeyValue,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'gemma2');
    const sizes = sizesFromGguf(file, keys, 'rms');
    return {
      architecture: 'gemma2',
      ...sizes,
      activation: 'geluNew',
      rope: await ropeFromGguf(file, keys, sizes),
      ...windowsFromGguf(file, keys, sizes.depths, period),
      attentionScale: gemmaScaleOfGguf(sizes, depthsOf27B),
      attentionSoftCap: keys.number('attn_logit_softcapping'),
      logitSoftCap: keys.number('final_logit_softcapping'),
      embeddingScale: Math.sqrt(sizes.dim),
    };
  },
  toGguf(config) {
    onlyActivationOfGguf(config, 'geluNew');
    gemmaScaleToGguf(config, depthsOf27B);
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    const {attentionSoftCap, logitSoftCap} = config;
    return {
      type: 'gemma2',
      keys: {
        ...sizesToGguf(config, 'rms'),
        ...keys,
        ...windowsToGguf(config),
        ...(attentionSoftCap !== undefined && {attn_logit_softcapping: float32(attentionSoftCap)}),
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
  tie_word_embeddings: flag(true),
  hidden_activation: hubActivation('gelu_pytorch_tanh'),
  sliding_window: usualWindow,
  query_pre_attn_scalar: v.nullish(positive, 256),
  attn_logit_softcapping: v.optional(v.nullable(positive), 50),
  final_logit_softcapping: v.optional(v.nullable(positive), 30),
  rms_norm_eps: positive,
  attention_bias: flag(false),
  use_bidirectional_attention: maybe(v.literal(false, 'eigenkv has causal attention only')),
});
