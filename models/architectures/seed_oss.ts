import * as v from 'valibot';
import {flag, ggufKeys, positive, readKeys} from '../formats/config_keys.js';
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

/** Seed-OSS (ByteDance, 2025): Llama with biases of queries, keys and values. */
export const seedOss = decoderArchitecture({
  hubTypes: ['seed_oss'],
  ggufTypes: ['seed_oss'],
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    return {
      architecture: 'seed_oss',
      ...sizesFromHub(keys),
      activation: keys.hidden_act,
      rope: ropeFromHub(keys),
      normEpsilon: keys.rms_norm_eps,
      biases: {
        queryKeyValue: keys.attention_bias,
        attentionOutput: keys.attention_out_bias,
        feedForward: keys.mlp_bias,
      },
    };
  },
  toHub: config => ({
    architectures: ['SeedOssForCausalLM'],
    model_type: 'seed_oss',
    ...sizesToHub(config),
    ...ropeToHub(config.rope ?? {}),
    hidden_act: activationToHub(config.activation),
    rms_norm_eps: config.normEpsilon,
    attention_bias: config.biases.queryKeyValue,
    attention_out_bias: config.biases.attentionOutput,
    mlp_bias: config.biases.feedForward,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'seed_oss');
    const sizes = sizesFromGguf(file, keys, 'rms');
    const rope = await ropeFromGguf(file, keys, sizes);
    return {architecture: 'seed_oss', ...sizes, activation: 'silu', rope};
  },
  toGguf(config) {
    onlyActivationOfGguf(config, 'silu');
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    return {type: 'seed_oss', keys: {...sizesToGguf(config, 'rms'), ...keys}, tensors};
  },
  ggufNames: {feedForwardNorm: 'post_attention_norm'},
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  hidden_act: hubActivation('silu'),
  rms_norm_eps: positive,
  attention_bias: flag(true),
  attention_out_bias: flag(false),
  mlp_bias: flag(false),
});
