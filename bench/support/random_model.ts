import {seededRandom} from '../../base/random.js';
import {type GgufTensor, writeGgufFile} from '../../base/files/write_gguf.js';
import {architectureOf} from '../../models/architectures/index.js';
import type {StoredWeight} from '../../models/architectures/parts/architecture.js';
import type {ModelConfig} from '../../models/architectures/parts/model_config.js';
import {embeddedParts} from '../../models/embedded_model.js';
import {ggufMetadata} from '../../models/save_gguf.js';
import {type RandomType, randomBlocks} from './random_blocks.js';

/** Sizes of a Llama-like model. */
export type Shape = Pick<
  ModelConfig,
  'dim' | 'depths' | 'heads' | 'kvHeads' | 'headDim' | 'hiddenDim' | 'vocabSize'
> & {
  readonly tied: boolean;
  readonly theta: number;
  /** Of queries, keys and values. Default false. */
  readonly hasBiases?: boolean;
};

/** Sizes as the models' authors published them. */
export const shapes = {
  'SmolLM2-135M': {
    ...{dim: 576, depths: 30, heads: 9, kvHeads: 3, headDim: 64, hiddenDim: 1536, vocabSize: 49_152},
    ...{tied: true, theta: 100_000},
  },
  'SmolLM2-360M': {
    ...{dim: 960, depths: 32, heads: 15, kvHeads: 5, headDim: 64, hiddenDim: 2560, vocabSize: 49_152},
    ...{tied: true, theta: 100_000},
  },
  'Qwen2.5-0.5B': {
    ...{dim: 896, depths: 24, heads: 14, kvHeads: 2, headDim: 64, hiddenDim: 4864, vocabSize: 151_936},
    ...{tied: true, theta: 1_000_000, hasBiases: true},
  },
  'TinyLlama-1.1B': {
    ...{dim: 2048, depths: 22, heads: 32, kvHeads: 4, headDim: 64, hiddenDim: 5632, vocabSize: 32_000},
    ...{tied: false, theta: 10_000},
  },
  'Llama-3.2-1B': {
    ...{dim: 2048, depths: 16, heads: 32, kvHeads: 8, headDim: 64, hiddenDim: 8192, vocabSize: 128_256},
    ...{tied: true, theta: 500_000},
  },
  'Llama-3.2-3B': {
    ...{dim: 3072, depths: 28, heads: 24, kvHeads: 8, headDim: 128, hiddenDim: 8192, vocabSize: 128_256},
    ...{tied: true, theta: 500_000},
  },
} as const satisfies Record<string, Shape>;

export interface RandomModelOptions {
  readonly shape: Shape;
  readonly type: RandomType;
  /** Default 1. */
  readonly seed?: number;
  /** `general.name`. Default 'random'. */
  readonly name?: string;
}

/**
 * Writes a model with random weights, tensor by tensor. Types are where llama.cpp's quantisation puts them (Q4_K and Q5_K: as Q4_K_M and
 * Q5_K_M); the tokenizer is the bundled model's, padded to the vocabulary.
 */
export async function writeRandomModel(
  path: string,
  {shape, type, seed = 1, name = 'random'}: RandomModelOptions,
): Promise<void> {
  const config = configOf(shape);
  const {tokenizer, weights} = await embeddedParts();
  await weights.close();
  const random = seededRandom(seed);
  const {ggufWeights, toGguf} = architectureOf(config);
  const ggufType = toGguf!(config).type;
  const tensors = ggufWeights(config, ggufType).map((stored): GgufTensor => {
    const {tensor, shape: axes} = stored;
    if (axes.length === 1) {
      const values = new Float32Array(axes[0]!).fill(tensor.endsWith('bias') ? 0.05 : 1);
      return {name: tensor, dtype: 'F32', shape: axes, values: () => values};
    }
    const dtype = typeOf(stored, config, type);
    const [rows = 1, columns = 1] = axes;
    const bytes = () => randomBlocks(dtype, rows * columns, deviationOf(tensor, columns, config), random);
    return {name: tensor, dtype, shape: axes, bytes};
  });
  await writeGgufFile(path, {metadata: ggufMetadata({config, tokenizer, name}, tensors), tensors});
}

function configOf({tied, theta, hasBiases = false, ...sizes}: Shape): ModelConfig {
  return {
    ...sizes,
    ...{architecture: 'llama', contextLength: 2048, activation: 'silu', normEpsilon: 1e-5},
    rope: {theta},
    biases: {queryKeyValue: hasBiases, attentionOutput: false, feedForward: false},
    tiedEmbeddings: tied,
  };
}

/** Activations keep about their size from layer to layer, and logits deviate by 2. */
function deviationOf(tensor: string, inputs: number, {depths}: ModelConfig): number {
  if (/^(token_embd|output)[.]/.test(tensor)) return 2 / Math.sqrt(inputs);
  const branches = /(attn_output|ffn_down)/.test(tensor) ? 2 * depths : 1;
  return 1 / Math.sqrt(branches * inputs);
}

/** What llama.cpp uses for rows that are no whole blocks of 256. */
const withoutK: Readonly<Partial<Record<RandomType, RandomType>>> = {
  Q4_K: 'Q5_0',
  Q5_K: 'Q5_1',
  Q6_K: 'Q8_0',
};

/** The type that llama.cpp stores a tensor in (`llama_tensor_get_type` of llama-quant.cpp). */
function typeOf({tensor, shape}: StoredWeight, config: ModelConfig, type: RandomType): RandomType {
  const isHead = tensor === (config.tiedEmbeddings ? 'token_embd.weight' : 'output.weight');
  const isPlain = !type.startsWith('Q') || type === 'Q8_0';
  const depth = Number(/^blk[.](\d+)/.exec(tensor)?.[1]);
  const isLarger = type in withoutK && /(attn_v|ffn_down)/.test(tensor) && hasMoreBits(depth, config.depths);
  const wanted = !isPlain && (isHead || isLarger) ? 'Q6_K' : type;
  return shape[1]! % 256 === 0 ? wanted : (withoutK[wanted] ?? wanted);
}

function hasMoreBits(depth: number, depths: number): boolean {
  const eighth = Math.floor(depths / 8);
  return depth < eighth || depth >= Math.floor((7 * depths) / 8) || (depth - eighth) % 3 === 2;
}
