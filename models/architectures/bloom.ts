import * as v from 'valibot';
import {ModelError} from '../../base/errors.js';
import {count, flag, ggufKeys, maybe, positive, readKeys} from '../formats/config_keys.js';
import {sizesFromGguf, sizesToGguf} from '../formats/gguf_sizes.js';
import {decoderArchitecture} from './parts/decoder_architecture.js';
import {fusedAttention} from './parts/tensor_names.js';

/** BLOOM's texts of training: files need not name a context, for ALiBi has no end. */
const trainedContext = 2048;

/**
 * BLOOM (BigScience, 2022, arXiv 2211.05100): scores that fall with the distance (ALiBi) in place of positions, a norm of embedded tokens, biases
 * everywhere. The hub's files fuse queries, keys and values head by head.
 */
export const bloom = decoderArchitecture({
  hubTypes: ['bloom'],
  ggufTypes: ['bloom'],
  block: {norm: 'layer', gated: false, embeddingNorm: true, alibi: true},
  hubPrefix: 'transformer.',
  hubNames: {
    embedding: 'transformer.word_embeddings',
    embeddingNorm: 'transformer.word_embeddings_layernorm',
    block: 'transformer.h.@.',
    ...fusedAttention('self_attention.query_key_value'),
    attentionOutput: 'self_attention.dense',
    up: 'mlp.dense_h_to_4h',
    down: 'mlp.dense_4h_to_h',
    finalNorm: 'transformer.ln_f',
  },
  hubLayout: {headwise: true},
  ggufNames: fusedAttention('attn_qkv'), // llama.cpp's converter puts them side by side
  fromHub(config) {
    const keys = readKeys(hubSchema, config, 'config.json');
    const dim = needed(keys.hidden_size ?? keys.n_embed, 'hidden_size');
    const heads = needed(keys.n_head ?? keys.num_attention_heads, 'n_head');
    return {
      architecture: 'bloom',
      vocabSize: keys.vocab_size,
      contextLength: keys.seq_length,
      depths: needed(keys.n_layer ?? keys.num_hidden_layers, 'n_layer'),
      ...shape(dim, heads),
      normEpsilon: keys.layer_norm_epsilon,
      tiedEmbeddings: keys.tie_word_embeddings,
    };
  },
  toHub: config => ({
    architectures: ['BloomForCausalLM'],
    model_type: 'bloom',
    vocab_size: config.vocabSize,
    seq_length: config.contextLength,
    hidden_size: config.dim,
    n_layer: config.depths,
    n_head: config.heads,
    layer_norm_epsilon: config.normEpsilon,
    tie_word_embeddings: config.tiedEmbeddings,
  }),
  fromGguf(file) {
    const keys = ggufKeys(file.metadata, 'bloom');
    const sizes = sizesFromGguf(file, keys, 'layer');
    return Promise.resolve({...sizes, ...shape(sizes.dim, sizes.heads), architecture: 'bloom'});
  },
  toGguf: config => ({type: 'bloom', keys: sizesToGguf(config, 'layer')}),
});

/** What all BLOOM models share, and what follows from the two numbers. */
function shape(dim: number, heads: number) {
  return {
    ...{dim, heads, kvHeads: heads, headDim: dim / heads, hiddenDim: 4 * dim},
    activation: 'geluNew',
    biases: {queryKeyValue: true, attentionOutput: true, feedForward: true},
  } as const;
}

function needed(value: number | undefined, key: string): number {
  if (value !== undefined) return value;
  throw new ModelError(
    `config.json lacks the key "${key}"; download it again, or use another conversion of the model.`,
  );
}

const hubSchema = v.object({
  vocab_size: count,
  seq_length: v.nullish(count, trainedContext),
  hidden_size: maybe(count),
  n_embed: maybe(count),
  n_layer: maybe(count),
  num_hidden_layers: maybe(count),
  n_head: maybe(count),
  num_attention_heads: maybe(count),
  layer_norm_epsilon: positive,
  apply_residual_connection_post_layernorm: v.nullish(
    v.literal(false, 'eigenkv adds what a block got, not its norm'),
  ),
  tie_word_embeddings: flag(true),
});
