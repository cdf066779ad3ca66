import * as v from 'valibot';
import {flag, ggufKeys, positive, readKeys} from '../formats/config_keys.js';
import {ropeFromGguf, ropeToGguf} from '../formats/gguf_rope.js';
import {sizesFromGguf, sizesToGguf} from '../formats/gguf_sizes.js';
import {hubRopeEntries, ropeFromHub, ropeToHub} from '../formats/hub_rope.js';
import {hubSizeEntries, sizesFromHub, sizesToHub} from '../formats/hub_sizes.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';

/**
 * Gemma (Gemma team, 2024, arXiv 2403.08295): Llama with a scaled embedding and a feed-forward part that is gated by GELU. The hub's files have
 * gains of norms less 1.
 */
export const gemma = decoderArchitecture({
  hubTypes: ['gemma'],
  ggufTypes: ['gemma'],
  hubLayout: {addedToGains: 1}, // llama.cpp's converter adds it
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const sizes = sizesFromHub(keys);
    return {
      architecture: 'gemma',
      ...sizes,
      headDim: keys.head_dim ?? 256, // whatever dim and heads are
      activation: 'geluNew', // what files call "gelu" is the approximation, too
      rope: ropeFromHub(keys),
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
    architectures: ['GemmaForCausalLM'],
    model_type: 'gemma',
    ...sizesToHub(config),
    ...ropeToHub(config.rope ?? {}),
    hidden_act: 'gelu_pytorch_tanh',
    rms_norm_eps: config.normEpsilon,
    attention_bias: config.biases.queryKeyValue,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'gemma');
    const sizes = sizesFromGguf(file, keys, 'rms');
    return {
      architecture: 'gemma',
      ...sizes,
      activation: 'geluNew',
      rope: await ropeFromGguf(file, keys, sizes),
      embeddingScale: Math.sqrt(sizes.dim),
    };
  },
  toGguf(config) {
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    return {type: 'gemma', keys: {...sizesToGguf(config, 'rms'), ...keys}, tensors};
  },
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  tie_word_embeddings: flag(true),
  rms_norm_eps: positive,
  attention_bias: flag(false),
  hidden_act: v.nullish(v.picklist(gelus(), `expected one of ${gelus().join(', ')}`)),
  hidden_activation: v.nullish(v.picklist(gelus(), `expected one of ${gelus().join(', ')}`)),
  use_bidirectional_attention: v.nullish(v.literal(false, 'eigenkv has causal attention only')),
});

function gelus() {
  return ['gelu', 'gelu_pytorch_tanh', 'gelu_new', 'gelu_fast'] as const;
}
