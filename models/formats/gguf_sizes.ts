import {ModelError} from '../../base/errors.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {type GgufValue, float32, uint32} from '../../base/files/write_gguf_metadata.js';
import type {ModelConfig} from '../architectures/parts/model_config.js';
import {type GgufKeys, ggufVocabSize} from './config_keys.js';

/** The keys of the two kinds of norms. */
const epsilonKeys = {rms: 'attention.layer_norm_rms_epsilon', layer: 'attention.layer_norm_epsilon'} as const;

/**
 * Sizes that all models of a GGUF file have, and what shows only in which tensors there are: biases, and a head of its own.
 * @param norm the kind of its norms.
 * @throws ModelError if a key is missing, keys and values differ in size, or the model has experts.
 */
export function sizesFromGguf(file: TensorFile, keys: GgufKeys, norm: 'rms' | 'layer') {
  const dim = keys.neededNumber('embedding_length');
  const heads = keys.neededNumber('attention.head_count');
  const headDim = keys.number('attention.key_length') ?? dim / heads;
  const valueDim = keys.number('attention.value_length') ?? headDim;
  if (valueDim !== headDim) {
    throw new ModelError(
      `The GGUF file has attention.key_length = ${headDim} and attention.value_length = ${valueDim}; eigenkv needs equal ones.`,
    );
  }
  const experts = keys.number('expert_count') ?? 0;
  if (experts > 0) {
    throw new ModelError(
      `The GGUF file has ${keys.type}.expert_count = ${experts}; eigenkv has no mixture of experts.`,
    );
  }
  const has = (tensor: string) => file.tensors.has(tensor);
  return {
    vocabSize: ggufVocabSize(file, keys),
    contextLength: keys.neededNumber('context_length'),
    depths: keys.neededNumber('block_count'),
    dim,
    heads,
    kvHeads: keys.number('attention.head_count_kv') ?? heads,
    headDim,
    hiddenDim: keys.neededNumber('feed_forward_length'),
    normEpsilon: keys.neededNumber(epsilonKeys[norm]),
    biases: {
      queryKeyValue: has('blk.0.attn_q.bias') || has('blk.0.attn_qkv.bias'),
      attentionOutput: has('blk.0.attn_output.bias'),
      feedForward: has('blk.0.ffn_up.bias'),
      ...(has('output.bias') && {head: true}),
    },
    tiedEmbeddings: !has('output.weight'),
  };
}

/** The keys that `sizesFromGguf` reads. */
export function sizesToGguf(config: ModelConfig, norm: 'rms' | 'layer'): Record<string, GgufValue> {
  return {
    vocab_size: uint32(config.vocabSize),
    context_length: uint32(config.contextLength),
    embedding_length: uint32(config.dim),
    block_count: uint32(config.depths),
    feed_forward_length: uint32(config.hiddenDim),
    'attention.head_count': uint32(config.heads),
    'attention.head_count_kv': uint32(config.kvHeads),
    'attention.key_length': uint32(config.headDim),
    'attention.value_length': uint32(config.headDim),
    [epsilonKeys[norm]]: float32(config.normEpsilon),
  };
}
