import * as v from 'valibot';
import {count, flag, readKeys} from '../formats/config_keys.js';
import {activationToHub, hubActivation} from '../formats/hub_sizes.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';

/**
 * OPT (Zhang et al., 2022, arXiv 2205.01068), but for the model of 350 million weights: GPT-2's blocks with ReLU, and learned positions that begin
 * in the third row of their table. There are no GGUF files of it.
 */
export const opt = decoderArchitecture({
  hubTypes: ['opt'],
  block: {norm: 'layer', gated: false, firstPosition: 2},
  hubNames: {
    embedding: 'model.decoder.embed_tokens',
    positions: 'model.decoder.embed_positions',
    block: 'model.decoder.layers.@.',
    attentionNorm: 'self_attn_layer_norm',
    attentionOutput: 'self_attn.out_proj',
    feedForwardNorm: 'final_layer_norm',
    up: 'fc1',
    down: 'fc2',
    finalNorm: 'model.decoder.final_layer_norm',
  },
  fromHub(config) {
    const keys = readKeys(hubSchema(config['hidden_size']), config, 'config.json');
    const {hidden_size: dim, num_attention_heads: heads, enable_bias: hasBiases} = keys;
    return {
      architecture: 'opt',
      vocabSize: keys.vocab_size,
      contextLength: keys.max_position_embeddings,
      depths: keys.num_hidden_layers,
      dim,
      heads,
      kvHeads: heads,
      headDim: dim / heads,
      hiddenDim: keys.ffn_dim,
      activation: keys.activation_function,
      normEpsilon: 1e-5, // PyTorch's
      biases: {queryKeyValue: hasBiases, attentionOutput: hasBiases, feedForward: hasBiases},
      tiedEmbeddings: keys.tie_word_embeddings,
    };
  },
  toHub: config => ({
    architectures: ['OPTForCausalLM'],
    model_type: 'opt',
    vocab_size: config.vocabSize,
    max_position_embeddings: config.contextLength,
    hidden_size: config.dim,
    word_embed_proj_dim: config.dim,
    num_hidden_layers: config.depths,
    num_attention_heads: config.heads,
    ffn_dim: config.hiddenDim,
    activation_function: activationToHub(config.activation),
    enable_bias: config.biases.queryKeyValue,
    do_layer_norm_before: true,
    tie_word_embeddings: config.tiedEmbeddings,
  }),
});

const hubSchema = (dim: unknown) =>
  v.object({
    vocab_size: count,
    max_position_embeddings: count,
    hidden_size: count,
    num_hidden_layers: count,
    num_attention_heads: count,
    ffn_dim: count,
    activation_function: hubActivation('relu'),
    enable_bias: flag(true),
    do_layer_norm_before: v.nullish(v.literal(true, 'eigenkv has no blocks that normalise after their sums')),
    _remove_final_layer_norm: v.nullish(v.literal(false, 'eigenkv has no model without a last norm')),
    layer_norm_elementwise_affine: v.nullish(v.literal(true, 'eigenkv has no layer norms without gains')),
    word_embed_proj_dim: v.nullish(
      v.custom<number>(given => given === dim, 'embeddings must be as wide as hidden states (hidden_size)'),
    ),
    tie_word_embeddings: flag(true),
  });
