import * as v from 'valibot';
import {ggufKeys, positive, readKeys} from '../formats/config_keys.js';
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

/** Phi-1, 1.5 and 2 (Li et al., 2023, arXiv 2309.05463): both parts of a block get one norm of its input; a part of each head rotates; biases everywhere. */
export const phi = decoderArchitecture({
  hubTypes: ['phi'],
  ggufTypes: ['phi2'],
  block: {norm: 'layer', gated: false, parallel: 'sharedNorm'},
  hubNames: {
    attentionOutput: 'self_attn.dense',
    up: 'mlp.fc1',
    down: 'mlp.fc2',
    finalNorm: 'model.final_layernorm',
  },
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const sizes = sizesFromHub(keys);
    return {
      architecture: 'phi',
      ...sizes,
      activation: keys.hidden_act,
      rope: ropeFromHub(keys, {headDim: sizes.headDim, share: 0.5}),
      normEpsilon: keys.layer_norm_eps,
      biases: {queryKeyValue: true, attentionOutput: true, feedForward: true, head: true},
    };
  },
  toHub: config => ({
    architectures: ['PhiForCausalLM'],
    model_type: 'phi',
    ...sizesToHub(config),
    ...ropeToHub(config.rope ?? {}, config.headDim),
    hidden_act: activationToHub(config.activation),
    layer_norm_eps: config.normEpsilon,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'phi2');
    const sizes = sizesFromGguf(file, keys, 'layer');
    const rope = await ropeFromGguf(file, keys, {...sizes, partial: true});
    return {architecture: 'phi', ...sizes, activation: 'geluNew', rope};
  },
  toGguf(config) {
    onlyActivationOfGguf(config, 'geluNew');
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    return {type: 'phi2', keys: {...sizesToGguf(config, 'layer'), ...keys}, tensors};
  },
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  tie_word_embeddings: v.nullish(v.literal(false, 'models of this type have a head of their own'), false),
  hidden_act: hubActivation('gelu_new'),
  layer_norm_eps: positive,
  qk_layernorm: v.nullish(v.literal(false, 'eigenkv has no layer norms of queries and keys')),
});
