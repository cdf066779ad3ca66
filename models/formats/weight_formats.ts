import {hasPackedProducts} from '../../ops/linear/index.js';
import type {PackedFormat, WeightFormat} from '../../ops/weights/formats.js';
import {type StoredWeight, isKernel} from '../architectures/parts/architecture.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {isEmbedding, isHead} from './check_weights.js';

/** How the matrices of a model are stored in memory: see `LoadModelOptions`. */
export type WeightSetting = (typeof weightSettings)[number];

/** From the most exact to the smallest. */
export const weightSettings = ['float32', 'asStored', 'packed8', 'packed4'] as const;

/** GGUF files and packed folders are made to be run as they are; others are read to be trained or compressed as well. */
export function defaultSetting({format, isPacked}: Pick<TensorFile, 'format' | 'isPacked'>): WeightSetting {
  return format === 'gguf' || isPacked === true ? 'asStored' : 'float32';
}

/**
 * The formats that hold a dtype's own codes; those of K types with scales rounded to float16. Tensors of records have their format as
 * dtype: see `withPackedTensors`.
 */
const formatsOfCodes: Readonly<Record<string, PackedFormat>> = {
  IQ4_NL: 'packed8',
  IQ4_XS: 'packed8',
  MXFP4: 'packed8',
  Q3_K: 'packed8By16',
  Q4_0: 'packed4',
  Q4_1: 'packed4',
  Q4_K: 'packed4',
  Q5_0: 'packed8',
  Q5_1: 'packed8Min',
  Q5_K: 'packed8Min',
  Q6_K: 'packed8By16',
  Q8_0: 'packed8',
  TQ1_0: 'packed4',
  TQ2_0: 'packed4',
  packed4: 'packed4',
  packed8: 'packed8',
  packed8Min: 'packed8Min',
  packed8By16: 'packed8By16',
};

/** The formats that are so much wider than a dtype's codes that rounding to them costs next to nothing. */
const formatsAbove: Readonly<Record<string, PackedFormat>> = {Q2_K: 'packed8'};

const formatsOfFloats: Readonly<Record<string, PackedFormat>> = {
  F16: 'float16',
  BF16: 'bfloat16',
  float16: 'float16',
  bfloat16: 'bfloat16',
};

/** Whether the rows of a tensor are the outputs of its matrix. The outputs of an embedding are its tokens. */
export function hasOutputRows(stored: StoredWeight): boolean {
  return stored.transposed || isEmbedding(stored);
}

/** The packed format that holds the numbers of a tensor as they are in the file. */
export function heldFormat(stored: StoredWeight, dtype: string): PackedFormat | undefined {
  // a block of codes is a piece of a row, so rows must be outputs
  return formatsOfFloats[dtype] ?? (hasOutputRows(stored) ? formatsOfCodes[dtype] : undefined);
}

/** Whether a backend multiplies by packed matrices as they are; others unpack one for each product. */
export const backendPacks = (backend: string) => backend === 'wasm' || backend === 'webgpu';

/** Whether the current backend does: those of other versions of tfjs hide what our kernels need. */
export const currentBackendPacks = hasPackedProducts;

/**
 * The format of a tensor's variables. Kernels, the token embedding and the output head are packed; everything else is float32.
 *
 * @param packs whether the backend multiplies by packed matrices as they are.
 */
export function formatOfWeight(
  stored: StoredWeight,
  dtype: string,
  setting: WeightSetting,
  packs: boolean,
): WeightFormat {
  if (setting === 'float32' || stored.shape.length !== 2 || !(isKernel(stored) || isEmbedding(stored))) {
    return 'float32';
  }
  const held = heldFormat(stored, dtype);
  if (setting === 'asStored') return (packs ? (held ?? formatsAbove[dtype]) : undefined) ?? 'float32';
  const wanted = isEmbedding(stored) || isHead(stored) ? 'packed8' : setting;
  const isSmallEnough = dtype in formatsOfCodes && (wanted === 'packed8' || held === 'packed4');
  return isSmallEnough && held !== undefined ? held : wanted;
}

/** The format of each variable that a file fills, by its name. */
export function weightFormatsOf(
  weights: readonly StoredWeight[],
  {tensors}: Pick<TensorFile, 'tensors'>,
  setting: WeightSetting,
  packs: boolean,
): ReadonlyMap<string, WeightFormat> {
  const entries = weights.flatMap(stored => {
    const format = formatOfWeight(stored, tensors.get(stored.tensor)!.dtype, setting, packs);
    return stored.variables.map(variable => [variable, format] as const);
  });
  return new Map(entries);
}
