import * as v from 'valibot';
import {ModelError} from '../../base/errors.js';
import type {GgufConfig} from './parts/architecture.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';
import {flag, ggufKeys, maybe, positive, readKeys} from '../formats/config_keys.js';
import {ropeFromGguf, ropeToGguf} from '../formats/gguf_rope.js';
import {sizesFromGguf, sizesToGguf} from '../formats/gguf_sizes.js';
import {hubRopeEntries, ropeFromHub, ropeToHub} from '../formats/hub_rope.js';
import {activationToHub, hubSizeEntries, sizesFromHub, sizesToHub} from '../formats/hub_sizes.js';
import {hubWindowEntries} from '../formats/hub_windows.js';
import type {ModelConfig} from './parts/model_config.js';
import {metadataString} from '../../base/files/gguf_metadata.js';
import type {TensorFile} from '../../base/files/tensor_file.js';

/**
 * Llama 2 and 3 and what is built like them: SmolLM2, TinyLlama, Qwen2 (Touvron et al., 2023, arXiv 2307.09288; Grattafiori
 * et al., 2024, arXiv 2407.21783; Yang et al., 2024, arXiv 2407.10671). Grouped-query heads, rotary positions, RMS norms,
 * SwiGLU; biases and tied embeddings if the config says so.
 */
export const llama = decoderArchitecture({
  hubTypes: ['llama', 'qwen2'],
  ggufTypes: ['llama', 'qwen2'],
  fromHub,
  fromGguf,
  toHub,
  toGguf,
  // llama.cpp's converter permutes the rows of q and k for "llama" and not for "qwen2"
  ggufLayout: type => ({interleaved: type === 'llama'}),
});

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  ...hubWindowEntries,
  model_type: v.picklist(['llama', 'qwen2'], 'expected "llama" or "qwen2"'),
  hidden_act: v.nullish(v.literal('silu', 'eigenkv knows "silu" here'), 'silu'),
  rms_norm_eps: positive,
  attention_bias: flag(false),
  mlp_bias: flag(false),
  use_sliding_window: maybe(v.boolean('expected true or false')),
  layer_types: maybe(
    v.array(v.literal('full_attention', 'every layer must be "full_attention" in a model of this type')),
  ),
});

function fromHub(config: Readonly<Record<string, unknown>>): ModelConfig {
  const keys = readKeys(hubSchema, config, 'config.json');
  const {model_type: type} = keys;
  // Qwen2's files name a window and say that it is not used; Llama's have one only if it is used
  if (keys.use_sliding_window ?? (type === 'llama' && keys.sliding_window !== undefined)) {
    throw new ModelError(
      `config.json has sliding_window = ${keys.sliding_window ?? 'null'} in use; models of the type "${type}" have no window of attention. ` +
        'Use the sliding policy of a cache on a model without one.',
    );
  }
  return {
    architecture: 'llama',
    ...sizesFromHub(keys),
    activation: keys.hidden_act,
    rope: ropeFromHub(keys),
    normEpsilon: keys.rms_norm_eps,
    biases: {
      queryKeyValue: type === 'qwen2' || keys.attention_bias,
      attentionOutput: type === 'llama' && keys.attention_bias,
      feedForward: keys.mlp_bias,
    },
  };
}

function toHub(config: ModelConfig): Record<string, unknown> {
  const {queryKeyValue, attentionOutput, feedForward: mlpBias} = config.biases;
  const type = queryKeyValue && !attentionOutput ? 'qwen2' : 'llama';
  if ((type === 'llama' && attentionOutput !== queryKeyValue) || (type === 'qwen2' && mlpBias)) {
    throw new ModelError(
      'No config.json of the hub describes this choice of biases; the model can be used but not saved in this format.',
    );
  }
  return {
    architectures: [type === 'llama' ? 'LlamaForCausalLM' : 'Qwen2ForCausalLM'],
    model_type: type,
    ...sizesToHub(config),
    hidden_act: activationToHub(config.activation),
    rms_norm_eps: config.normEpsilon,
    ...ropeToHub(config.rope ?? {}),
    ...(type === 'llama' ? {attention_bias: queryKeyValue, mlp_bias: mlpBias} : {use_sliding_window: false}),
  };
}

async function fromGguf(file: TensorFile): Promise<ModelConfig> {
  const keys = ggufKeys(file.metadata, metadataString(file.metadata, 'general.architecture') ?? 'llama');
  const window = keys.number('attention.sliding_window') ?? 0;
  if (window > 0) {
    throw new ModelError(
      `The GGUF file has ${keys.type}.attention.sliding_window = ${window}; models of this type have no window.`,
    );
  }
  const sizes = sizesFromGguf(file, keys, 'rms');
  return {
    architecture: 'llama',
    ...sizes,
    activation: 'silu',
    rope: await ropeFromGguf(file, keys, sizes),
  };
}

function toGguf(config: ModelConfig): GgufConfig {
  const {biases, rope, headDim} = config;
  // llama.cpp's "qwen2" has biases of queries, keys and values and no others; its "llama" has whichever the file has
  const isQwen2 = biases.queryKeyValue && !biases.attentionOutput && !biases.feedForward;
  const {keys, tensors} = ropeToGguf(rope, headDim);
  return {
    type: isQwen2 ? 'qwen2' : 'llama',
    keys: {...sizesToGguf(config, 'rms'), ...keys},
    tensors,
  };
}
