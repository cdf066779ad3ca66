import * as v from 'valibot';
import {count, ggufKeys, maybe, positive, readKeys} from '../formats/config_keys.js';
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
import {uint32} from '../../base/files/write_gguf_metadata.js';

/**
 * Phi-3, Phi-3.5-mini and Phi-4 (Abdin et al., 2024, arXiv 2404.14219): Llama with fused projections, in some sizes a window at all depths, a
 * part of each head that rotates, or a stretched rotation (longrope).
 */
export const phi3 = decoderArchitecture({
  hubTypes: ['phi3'],
  ggufTypes: ['phi3'],
  hubNames: {
    ...fusedAttention('self_attn.qkv_proj'),
    gate: 'mlp.gate_up_proj',
    up: 'mlp.gate_up_proj',
  },
  ggufNames: {...fusedAttention('attn_qkv'), gate: 'ffn_up'},
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const sizes = sizesFromHub(keys);
    return {
      architecture: 'phi3',
      ...sizes,
      activation: keys.hidden_act,
      rope: ropeFromHub(keys, sizes),
      window: keys.sliding_window,
      normEpsilon: keys.rms_norm_eps,
      biases: {queryKeyValue: false, attentionOutput: false, feedForward: false},
    };
  },
  toHub: config => ({
    architectures: ['Phi3ForCausalLM'],
    model_type: 'phi3',
    ...sizesToHub(config),
    original_max_position_embeddings: config.contextLength,
    ...ropeToHub(config.rope ?? {}, config.headDim),
    sliding_window: config.window ?? null,
    hidden_act: activationToHub(config.activation),
    rms_norm_eps: config.normEpsilon,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'phi3');
    const sizes = sizesFromGguf(file, keys, 'rms');
    const window = keys.number('attention.sliding_window') ?? 0;
    return {
      architecture: 'phi3',
      ...sizes,
      activation: 'silu',
      rope: await ropeFromGguf(file, keys, {...sizes, partial: true}),
      window: window === 0 ? undefined : window,
    };
  },
  toGguf(config) {
    onlyActivationOfGguf(config, 'silu');
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    return {
      type: 'phi3',
      keys: {
        ...sizesToGguf(config, 'rms'),
        ...keys,
        'attention.sliding_window': uint32(config.window ?? 0),
      },
      tensors,
    };
  },
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  hidden_act: hubActivation('silu'),
  rms_norm_eps: positive,
  sliding_window: maybe(count),
});
