import {bytesSource} from '../../base/files/byte_source.js';
import {float16Bits} from '../../base/files/float_formats.js';
import {openGguf} from '../../base/files/gguf.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {type GgufContent, type GgufTensor, ggufChunks} from '../../base/files/write_gguf.js';
import {type GgufValue, float32, uint32} from '../../base/files/write_gguf_metadata.js';
import {configFromHub} from '../../models/architectures/index.js';
import {llama} from '../../models/architectures/llama.js';
import {encodingOf, quantizedTypes, randomBlocks} from './random_blocks.js';
import {randomFloats} from './random.js';

/** The sizes of a Llama whose weights are random. */
export interface RandomModel {
  readonly dim: number;
  readonly hiddenDim: number;
  readonly depths: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** At least 259: a token for each byte and three more. */
  readonly vocabSize: number;
  /** Whether the output head is the embedding. Default true. */
  readonly isTied?: boolean;
  /** The type of a matrix. Vectors are F32. */
  readonly dtypeOf: (tensor: string) => string;
  /** Changes the bytes of a tensor. */
  readonly edit?: (tensor: string, bytes: Uint8Array) => void;
}

/** A GGUF file of such a model, with a tokenizer of bytes. Large tensors repeat themselves. */
export function randomGguf(model: RandomModel): GgufContent {
  const tensors = weightsOf(model).map(({tensor, shape}, seed) => tensorOf(tensor, shape, seed, model));
  return {metadata: metadataOf(model), tensors};
}

export async function randomGgufBytes(model: RandomModel): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of ggufChunks(randomGguf(model))) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

export async function openRandomGguf(model: RandomModel): Promise<TensorFile> {
  return openGguf(bytesSource(await randomGgufBytes(model), 'random.gguf'));
}

function metadataOf(model: RandomModel): Map<string, GgufValue> {
  const bytes = Array.from(
    {length: 256},
    (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
  );
  const tokens = ['<unk>', '<s>', '</s>', ...bytes];
  return new Map<string, GgufValue>([
    ['general.architecture', 'llama'],
    ['general.name', 'random'],
    ['llama.vocab_size', uint32(model.vocabSize)],
    ['llama.context_length', uint32(256)],
    ['llama.embedding_length', uint32(model.dim)],
    ['llama.block_count', uint32(model.depths)],
    ['llama.feed_forward_length', uint32(model.hiddenDim)],
    ['llama.attention.head_count', uint32(model.heads)],
    ['llama.attention.head_count_kv', uint32(model.kvHeads)],
    ['llama.attention.layer_norm_rms_epsilon', float32(1e-5)],
    ['tokenizer.ggml.model', 'llama'],
    ['tokenizer.ggml.tokens', tokens],
    ['tokenizer.ggml.scores', new Float32Array(tokens.length)],
    ['tokenizer.ggml.token_type', Int32Array.from(tokens, (_, id) => (id === 0 ? 2 : id < 3 ? 3 : 6))],
    ['tokenizer.ggml.bos_token_id', uint32(1)],
    ['tokenizer.ggml.eos_token_id', uint32(2)],
  ]);
}

function weightsOf({dim, hiddenDim, depths, heads, kvHeads, vocabSize, isTied = true}: RandomModel) {
  const config = configFromHub({
    model_type: 'llama',
    vocab_size: vocabSize,
    hidden_size: dim,
    intermediate_size: hiddenDim,
    num_hidden_layers: depths,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    max_position_embeddings: 256,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: isTied,
  });
  return llama.ggufWeights(config, 'llama');
}

/** Random numbers of a large tensor: this many, again and again. */
const mostNumbers = 2 ** 18;

function tensorOf(
  name: string,
  shape: readonly number[],
  seed: number,
  {dtypeOf, edit}: RandomModel,
): GgufTensor {
  const dtype = shape.length === 2 ? dtypeOf(name) : 'F32';
  const {blockSize, blockBytes} = encodingOf(dtype);
  const count = shape.reduce((product, axis) => product * axis, 1);
  return {
    name,
    shape,
    dtype,
    bytes: function* () {
      const fresh = randomBytes(
        dtype,
        Math.min(count, mostNumbers),
        seed + 1,
        name.includes('norm') ? 1 : 0.1,
      );
      for (let left = (count / blockSize) * blockBytes; left > 0; left -= fresh.length) {
        const piece = fresh.slice(0, Math.min(left, fresh.length));
        edit?.(name, piece);
        yield piece;
      }
    },
  };
}

function randomBytes(dtype: string, count: number, seed: number, spread: number): Uint8Array {
  if (quantizedTypes.includes(dtype)) {
    return randomBlocks(dtype, count / encodingOf(dtype).blockSize, seed, spread);
  }
  const values = randomFloats(seed, count, spread);
  switch (dtype) {
    case 'F32':
      return new Uint8Array(values.buffer);
    case 'F16':
      return new Uint8Array(Uint16Array.from(values, float16Bits).buffer);
    case 'BF16':
      return new Uint8Array(Uint16Array.from(new Uint32Array(values.buffer), word => word >>> 16).buffer);
    default:
      throw new Error(`There are no random weights of ${dtype}.`);
  }
}
