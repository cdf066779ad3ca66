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
import {ModelError} from '../../base/errors.js';

/**
 * StableLM 3B and StableLM 2 1.6B (Bellagente et al., 2024, arXiv 2402.17834): Llama with layer norms and a part of each head that rotates; both
 * parts of a block may get one norm of its input.
 */
export const stablelm = decoderArchitecture({
  hubTypes: ['stablelm'],
  ggufTypes: ['stablelm'],
  block: {norm: 'layer'},
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const sizes = sizesFromHub(keys);
    return {
      architecture: 'stablelm',
      ...sizes,
      activation: keys.hidden_act,
      rope: ropeFromHub(keys, {headDim: sizes.headDim, share: 0.25}),
      parallel: keys.use_parallel_residual ? 'sharedNorm' : undefined,
      normEpsilon: keys.layer_norm_eps,
      biases: {queryKeyValue: keys.use_qkv_bias, attentionOutput: false, feedForward: false},
    };
  },
  toHub: config => ({
    architectures: ['StableLmForCausalLM'],
    model_type: 'stablelm',
    ...sizesToHub(config),
    ...ropeToHub(config.rope ?? {}, config.headDim),
    hidden_act: activationToHub(config.activation),
    use_parallel_residual: config.parallel === 'sharedNorm',
    layer_norm_eps: config.normEpsilon,
    use_qkv_bias: config.biases.queryKeyValue,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'stablelm');
    const sizes = sizesFromGguf(file, keys, 'layer');
    if (file.tensors.has('blk.0.attn_q_norm.weight')) {
      throw new ModelError('The GGUF file has layer norms of queries and keys, which eigenkv does not have.');
    }
    return {
      architecture: 'stablelm',
      ...sizes,
      activation: 'silu',
      rope: await ropeFromGguf(file, keys, {...sizes, partial: true}),
      // its key says otherwise in some files, and llama.cpp goes by the tensor
      parallel: file.tensors.has('blk.0.ffn_norm.weight') ? undefined : 'sharedNorm',
    };
  },
  toGguf(config) {
    onlyActivationOfGguf(config, 'silu');
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    return {
      type: 'stablelm',
      keys: {
        ...sizesToGguf(config, 'layer'),
        ...keys,
        use_parallel_residual: config.parallel === 'sharedNorm',
      },
      tensors,
    };
  },
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  hidden_act: hubActivation('silu'),
  layer_norm_eps: positive,
  use_qkv_bias: flag(false),
  use_parallel_residual: flag(false),
  qk_layernorm: v.nullish(v.literal(false, 'eigenkv has no layer norms of queries and keys')),
});
