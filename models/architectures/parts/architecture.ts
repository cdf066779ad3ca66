import type * as tf from '@tensorflow/tfjs';
import type {KernelInitializer} from '../../../layers/layer_args.js';
import type {ModelConfig} from './model_config.js';
import type {TensorFile} from '../../../base/files/tensor_file.js';

/**
 * One kind of Transformer: how its files name things, and the layers that it is built of. Adding one is a file in
 * models/architectures, a line in models/architectures/registry.ts and a name in `ModelConfig`.
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
  /** The config.json that `fromHub` reads as this config, with the keys of the hub's own library. */
  toHub(config: ModelConfig): Record<string, unknown>;
  build(config: ModelConfig, options: BuildOptions): tf.LayersModel;
  /** Where the variables of the model lie in the hub's safetensors. */
  hubWeights(config: ModelConfig): StoredWeight[];
  /** What the hub's names begin with, in some files and not in others. */
  readonly hubPrefix: string;
  /** Where the variables of the model lie in a GGUF file of this `general.architecture`. */
  ggufWeights(config: ModelConfig, ggufType: string): StoredWeight[];
}

export interface BuildOptions {
  /** How matrices start: 'glorotUniform' to train, 'zeros' where weights are set right after. */
  readonly kernelInitializer: KernelInitializer;
}

/** A tensor of a file and the variables of the model that it fills. */
export interface StoredWeight {
  readonly tensor: string;
  /** Of the tensor in the file. */
  readonly shape: readonly number[];
  /** `layer/variable`. Several where the file fuses them: side by side along the outputs, in this order. */
  readonly variables: readonly string[];
  /** The file has `[outputs, inputs]`, the layer `[inputs, outputs]`. */
  readonly transposed: boolean;
  /**
   * The outputs are this many heads whose channels lie as rotated pairs (2i, 2i + 1), as GGUF's "llama" has them; in the
   * layer the pairs are halves (i, i + headDim / 2).
   */
  readonly interleavedHeads?: number;
}

/** Variables, and what the hub and GGUF call the tensor that fills them. */
export interface WeightNames {
  readonly variables: readonly string[];
  readonly hub: string;
  readonly gguf: string;
  /** In the layers' layout: `[inputs, outputs]` or `[outputs]`, fused variables side by side. */
  readonly shape: readonly number[];
}

export function weightNames(
  variables: string | readonly string[],
  hub: string,
  gguf: string,
  shape: readonly number[],
): WeightNames {
  return {variables: typeof variables === 'string' ? [variables] : variables, hub, gguf, shape};
}

/** Whether a variable is a projection's matrix, `[inputs, outputs]`. */
export function isKernel({variables}: Pick<WeightNames, 'variables'>): boolean {
  return variables.every(variable => variable.endsWith('kernel'));
}

/** A weight as it lies in a file, which has the matrices of projections transposed or not. */
export function storedAs(tensor: string, {variables, shape}: WeightNames, transposed: boolean): StoredWeight {
  return {tensor, variables, transposed, shape: transposed ? shape.toReversed() : shape};
}
