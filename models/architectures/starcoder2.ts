import * as v from 'valibot';
import {count, flag, ggufKeys, maybe, positive, readKeys} from '../formats/config_keys.js';
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
import {noWindowInGguf, onlyActivationOfGguf} from './parts/gguf_refusals.js';

/** StarCoder2 (Lozhkov et al., 2024, arXiv 2402.19173): grouped-query heads with rotation, layer norms, biases everywhere, a window at all depths. */
export const starcoder2 = decoderArchitecture({
  hubTypes: ['starcoder2'],
  ggufTypes: ['starcoder2'],
  block: {norm: 'layer', gated: false},
  hubNames: {up: 'mlp.c_fc', down: 'mlp.c_proj'},
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const {use_bias: hasBiases} = keys;
    return {
      architecture: 'starcoder2',
      ...sizesFromHub(keys),
      activation: keys.hidden_act,
      rope: ropeFromHub(keys),
      window: keys.sliding_window,
      normEpsilon: keys.norm_epsilon,
      biases: {queryKeyValue: hasBiases, attentionOutput: hasBiases, feedForward: hasBiases},
    };
  },
  toHub: config => ({
    architectures: ['Starcoder2ForCausalLM'],
    model_type: 'starcoder2',
    ...sizesToHub(config),
    ...ropeToHub(config.rope ?? {}),
    sliding_window: config.window ?? null,
    hidden_act: activationToHub(config.activation),
    norm_epsilon: config.normEpsilon,
    use_bias: config.biases.queryKeyValue,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'starcoder2');
    const sizes = sizesFromGguf(file, keys, 'layer');
    const rope = await ropeFromGguf(file, keys, sizes);
    return {architecture: 'starcoder2', ...sizes, activation: 'geluNew', rope};
  },
  toGguf(config) {
    noWindowInGguf(config);
    onlyActivationOfGguf(config, 'geluNew');
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    return {type: 'starcoder2', keys: {...sizesToGguf(config, 'layer'), ...keys}, tensors};
  },
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  tie_word_embeddings: flag(true),
  hidden_act: hubActivation('gelu_pytorch_tanh'),
  norm_epsilon: positive,
  use_bias: flag(true),
  sliding_window: maybe(count),
});
