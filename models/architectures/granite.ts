import * as v from 'valibot';
import {float32} from '../../base/files/write_gguf_metadata.js';
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

/**
 * Granite 3 and later, dense (IBM, 2024, "Granite 3.0 language models"): Llama with factors of the embedding, the attention scores, what each
 * part adds, and the logits.
 */
export const granite = decoderArchitecture({
  hubTypes: ['granite'],
  ggufTypes: ['granite'],
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    return {
      architecture: 'granite',
      ...sizesFromHub(keys),
      activation: keys.hidden_act,
      rope: ropeFromHub(keys),
      attentionScale: keys.attention_multiplier,
      embeddingScale: keys.embedding_multiplier,
      residualScale: keys.residual_multiplier,
      logitScale: 1 / keys.logits_scaling,
      normEpsilon: keys.rms_norm_eps,
      biases: {
        queryKeyValue: keys.attention_bias,
        attentionOutput: keys.attention_bias,
        feedForward: keys.mlp_bias,
      },
    };
  },
  toHub: config => ({
    architectures: ['GraniteForCausalLM'],
    model_type: 'granite',
    ...sizesToHub(config),
    ...ropeToHub(config.rope ?? {}),
    hidden_act: activationToHub(config.activation),
    rms_norm_eps: config.normEpsilon,
    attention_multiplier: config.attentionScale ?? 1 / Math.sqrt(config.headDim),
    embedding_multiplier: config.embeddingScale ?? 1,
    residual_multiplier: config.residualScale ?? 1,
    logits_scaling: 1 / (config.logitScale ?? 1),
    attention_bias: config.biases.queryKeyValue,
    mlp_bias: config.biases.feedForward,
  }),
  async fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'granite');
    const sizes = sizesFromGguf(file, keys, 'rms');
    const {headDim} = sizes;
    return {
      architecture: 'granite',
      ...sizes,
      activation: 'silu',
      rope: await ropeFromGguf(file, keys, sizes),
      attentionScale: keys.number('attention.scale') ?? 1 / Math.sqrt(headDim),
      embeddingScale: keys.number('embedding_scale') ?? 1,
      residualScale: keys.number('residual_scale') ?? 1,
      logitScale: 1 / keys.neededNumber('logit_scale'),
    };
  },
  toGguf(config) {
    onlyActivationOfGguf(config, 'silu');
    const {keys, tensors} = ropeToGguf(config.rope, config.headDim);
    const {attentionScale, embeddingScale = 1, residualScale = 1, logitScale = 1} = config;
    return {
      type: 'granite',
      keys: {
        ...sizesToGguf(config, 'rms'),
        ...keys,
        'attention.scale': float32(attentionScale ?? 1 / Math.sqrt(config.headDim)),
        embedding_scale: float32(embeddingScale),
        residual_scale: float32(residualScale),
        logit_scale: float32(1 / logitScale),
      },
      tensors,
    };
  },
  ggufLayout: () => ({interleaved: true}),
});

const factor = v.nullish(positive, 1);

const hubSchema = v.object({
  ...hubSizeEntries,
  ...hubRopeEntries,
  hidden_act: hubActivation('silu'),
  rms_norm_eps: positive,
  attention_bias: flag(false),
  mlp_bias: flag(false),
  attention_multiplier: factor,
  embedding_multiplier: factor,
  residual_multiplier: factor,
  logits_scaling: factor,
});
