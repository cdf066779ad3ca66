import * as v from 'valibot';
import {ModelError} from '../../base/errors.js';
import {float32} from '../../base/files/write_gguf_metadata.js';
import {count, ggufKeys, positive, readKeys} from '../formats/config_keys.js';
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
import type {ModelConfig} from './parts/model_config.js';

/**
 * Mistral (Jiang et al., 2023, arXiv 2310.06825): Llama, with a window of attention at all depths in its first version. And Ministral 3, whose
 * queries grow with their position, by YaRN's stretched rotation.
 */
export const mistral = decoderArchitecture({
  hubTypes: ['mistral', 'ministral3'],
  ggufTypes: ['mistral3'], // Mistral's own are of the type "llama"
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const {sliding_window: window = keys.model_type === 'mistral' ? 4096 : null} = keys;
    return {
      architecture: 'mistral',
      ...sizesFromHub(keys),
      activation: keys.hidden_act,
      rope: ropeFromHub(keys),
      window: window ?? undefined,
      queryGrowth: keys.model_type === 'ministral3' ? growthOf(keys.rope_parameters) : undefined,
      normEpsilon: keys.rms_norm_eps,
      biases: {queryKeyValue: false, attentionOutput: false, feedForward: false},
    };
  },
  toHub,
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'mistral3');
    const sizes = sizesFromGguf(file, keys, 'rms');
    const rate = keys.number('attention.temperature_scale') ?? 0;
    return {
      architecture: 'mistral',
      ...sizes,
      activation: 'silu',
      rope: await ropeFromGguf(file, keys, sizes),
      queryGrowth:
        rate === 0
          ? undefined
          : {rate, period: keys.number('rope.scaling.original_context_length') ?? sizes.contextLength},
    };
  },
  toGguf(config) {
    noWindowInGguf(config);
    onlyActivationOfGguf(config, 'silu');
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    const {queryGrowth} = config;
    return {
      type: queryGrowth === undefined ? 'llama' : 'mistral3',
      keys: {
        ...sizesToGguf(config, 'rms'),
        ...keys,
        ...(queryGrowth && {'attention.temperature_scale': float32(queryGrowth.rate)}),
      },
      tensors,
    };
  },
  ggufLayout: () => ({interleaved: true}),
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  model_type: v.picklist(['mistral', 'ministral3']),
  hidden_act: hubActivation('silu'),
  rms_norm_eps: positive,
  sliding_window: v.nullish(count), // its default depends on the type
});

const growthSchema = v.object({
  llama_4_scaling_beta: positive,
  original_max_position_embeddings: count,
});

function growthOf(ropeParameters: unknown): ModelConfig['queryGrowth'] {
  const keys = readKeys(growthSchema, ropeParameters ?? {}, 'rope_parameters of config.json');
  return {rate: keys.llama_4_scaling_beta, period: keys.original_max_position_embeddings};
}

function toHub(config: ModelConfig): Record<string, unknown> {
  const {rope = {}, queryGrowth} = config;
  const shared = {
    ...sizesToHub(config),
    hidden_act: activationToHub(config.activation),
    rms_norm_eps: config.normEpsilon,
    sliding_window: config.window ?? null,
  };
  if (queryGrowth === undefined) {
    return {
      ...{architectures: ['MistralForCausalLM'], model_type: 'mistral'},
      ...shared,
      ...ropeToHub(rope),
    };
  }
  const {rope_theta, rope_scaling: scaling} = ropeToHub(rope);
  const {originalMaxPositions} = rope.scaling?.type === 'yarn' ? rope.scaling : {};
  if (originalMaxPositions !== queryGrowth.period) {
    throw new ModelError(
      `Queries of this model grow every ${queryGrowth.period} tokens; a config.json of "ministral3" states only the original context of a ` +
        `yarn rotation (${originalMaxPositions ?? 'none'}). The model can be used but not saved in this format.`,
    );
  }
  return {
    ...{architectures: ['Ministral3ForCausalLM'], model_type: 'ministral3'},
    ...shared,
    rope_parameters: {
      ...(scaling as Record<string, unknown>),
      rope_theta,
      llama_4_scaling_beta: queryGrowth.rate,
    },
  };
}
