import type * as tf from '@tensorflow/tfjs';
import type {BuildOptions} from './build_options.js';
import type {ModelConfig} from './model_config.js';
import type {TensorFile} from '../../../base/files/tensor_file.js';
import type {GgufTensor} from '../../../base/files/write_gguf.js';
import type {GgufValue} from '../../../base/files/write_gguf_metadata.js';

/**
 * One kind of Transformer: how its files name things, and the layers that it is built of. Adding one is a file in
 * models/architectures and a line in its index, or `registerArchitecture` from outside.
 */
export interface Architecture {
  /** Values of `model_type` in a hub's config.json. */
  readonly hubTypes: readonly string[];
  /** Values of `general.architecture` in a GGUF file. */
  readonly ggufTypes: readonly string[];
  /** @throws ModelError that names a key which is missing, contradicts another one, or is not supported. */
  fromHub(config: Readonly<Record<string, unknown>>): ModelConfig;
  /** See `fromHub`. Some choices show only in which tensors there are. */
  fromGguf(file: TensorFile): Promise<ModelConfig>;
  /** The config.json that `fromHub` reads as this config, with the keys of the transformers library. */
  toHub(config: ModelConfig): Record<string, unknown>;
  /** The model: int32 ids `[batch, tokens]` to float32 logits `[batch, tokens, vocabSize]`. See `decoder`. */
  build(config: ModelConfig, options: BuildOptions): tf.LayersModel;
  /** The tensors of the hub's safetensors, and the variables of the model that each one fills. */
  hubWeights(config: ModelConfig): StoredWeight[];
  /** A prefix of the hub's tensor names that some files have and others lack. */
  readonly hubPrefix: string;
  /** The same for a GGUF file of this `general.architecture`. */
  ggufWeights(config: ModelConfig, ggufType: string): StoredWeight[];
  /**
   * What `fromGguf` reads as this config. Default: models of this architecture are not saved as GGUF.
   * @throws ModelError if the format has no place for a choice of the config.
   */
  toGguf?(config: ModelConfig): GgufConfig;
}

/** A model's config as a GGUF file states it. */
export interface GgufConfig {
  /** `general.architecture`. */
  readonly type: string;
  /** The keys of this architecture, without its name before them: `block_count`. */
  readonly keys: Readonly<Record<string, GgufValue>>;
  /** Tensors that are a part of the config. Default: none. */
  readonly tensors?: readonly GgufTensor[];
}

/** A tensor of a file and the variables of the model that it fills. */
export interface StoredWeight {
  readonly tensor: string;
  /** The shape of the tensor in the file. */
  readonly shape: readonly number[];
  /** `layer/variable`. Several if the file fuses them: side by side along the outputs, in this order. */
  readonly variables: readonly string[];
  /** Whether the file has `[outputs, inputs]` for the layer's `[inputs, outputs]`. */
  readonly transposed: boolean;
  /**
   * The outputs are this many heads whose rotated pairs are (2i, 2i + 1), as in GGUF's "llama"; in the layer they are
   * (i, i + headDim / 2). Default: none; the order is the layer's.
   */
  readonly interleavedHeads?: number;
  /**
   * The outputs are this many heads, each of which has its outputs of all variables one after the other, as GPT-NeoX and BLOOM fuse queries,
   * keys and values. Default: none; the variables lie side by side. Not in GGUF files.
   */
  readonly headwise?: number;
  /** What is added to the file's numbers: 1 if it has gains less 1, as Gemma's. Of vectors only. Default 0. */
  readonly added?: number;
}

/** Variables, and the names of the tensor that fills them in the hub's files and in GGUF. */
export interface WeightNames {
  readonly variables: readonly string[];
  readonly hub: string;
  readonly gguf: string;
  /** In the layers' layout: `[inputs, outputs]` or `[outputs]`, fused variables side by side. */
  readonly shape: readonly number[];
}

/** One or more variables of one tensor. */
export function weightNames(
  variables: string | readonly string[],
  hub: string,
  gguf: string,
  shape: readonly number[],
): WeightNames {
  return {variables: typeof variables === 'string' ? [variables] : variables, hub, gguf, shape};
}

/** Whether the variables are matrices of projections, `[inputs, outputs]`. */
export function isKernel({variables}: Pick<WeightNames, 'variables'>): boolean {
  return variables.every(variable => variable.endsWith('kernel'));
}

/** A weight as a file stores it; files have the matrices of projections transposed or not. */
export function storedAs(tensor: string, {variables, shape}: WeightNames, transposed: boolean): StoredWeight {
  return {tensor, variables, transposed, shape: transposed ? shape.toReversed() : shape};
}
