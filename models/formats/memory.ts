import * as tf from '@tensorflow/tfjs';
import {ModelError} from '../../base/errors.js';
import {byteSize} from '../../base/units.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {type WeightFormat, matrixBytes} from '../../ops/weights/formats.js';
import type {StoredWeight} from '../architectures/parts/architecture.js';
import {
  type WeightSetting,
  backendPacks,
  formatOfWeight,
  hasOutputRows,
  weightSettings,
} from './weight_formats.js';

/**
 * Bytes of a tensor in memory. Packed matrices are padded to 8 outputs and 32 inputs; of variables that share a tensor each has its own
 * padding of up to 7 outputs, which is not counted.
 */
function bytesOf(stored: StoredWeight, format: WeightFormat): number {
  const {shape} = stored;
  if (format === 'float32') return 4 * shape.reduce((product, axis) => product * axis, 1);
  const [rows = 1, columns = 1] = shape;
  return hasOutputRows(stored) ? matrixBytes(format, columns, rows) : matrixBytes(format, rows, columns);
}

/**
 * Bytes that the weights of a model take with this setting. Nothing else holds a copy of them: products read them as they are.
 * @param packs whether the backend multiplies by packed matrices.
 */
export function modelBytes(
  weights: readonly StoredWeight[],
  {tensors}: Pick<TensorFile, 'tensors'>,
  setting: WeightSetting,
  packs: boolean,
): number {
  return weights.reduce((sum, stored) => {
    const {dtype} = tensors.get(stored.tensor)!;
    return sum + bytesOf(stored, formatOfWeight(stored, dtype, setting, packs));
  }, 0);
}

/** Bytes of a model's weights with one setting, by backend. */
export interface SettingMemory {
  readonly weights: WeightSetting;
  readonly wasm: number;
  readonly webgpu: number;
  /** cpu and tensorflow; webgl holds float32 only. */
  readonly others: number;
}

/** What a model takes with each setting. */
export function memoryTable(
  weights: readonly StoredWeight[],
  file: Pick<TensorFile, 'tensors'>,
): SettingMemory[] {
  const bytes = (setting: WeightSetting, backend: string) =>
    modelBytes(weights, file, setting, backendPacks(backend));
  return weightSettings.map(setting => ({
    weights: setting,
    wasm: bytes(setting, 'wasm'),
    webgpu: bytes(setting, 'webgpu'),
    others: bytes(setting, 'cpu'),
  }));
}

/** What a WebAssembly memory of 32-bit addresses can hold, less a quarter of a GiB to compute in. */
export const wasmBytes = 3.75 * 2 ** 30;

/**
 * Refuses a model that the backend cannot hold beside the tensors that there are, before memory is taken.
 * @param taken bytes of tensors that there are.
 * @throws ModelError that names a setting of `weights` which fits, if there is one.
 */
export function checkMemory(
  weights: readonly StoredWeight[],
  file: Pick<TensorFile, 'tensors'>,
  setting: WeightSetting,
  packs: boolean,
  taken = tf.memory().numBytes,
): void {
  if (tf.getBackend() !== 'wasm') return;
  const left = wasmBytes - taken;
  const bytes = modelBytes(weights, file, setting, packs);
  if (bytes <= left) return;
  const fitting = weightSettings
    .map(other => ({other, needed: modelBytes(weights, file, other, packs)}))
    .find(({needed}) => needed <= left);
  const advice =
    fitting === undefined
      ? 'Choose a smaller model'
      : `With {weights: '${fitting.other}'} it needs ${byteSize(fitting.needed)}. Or choose a smaller model`;
  const others = taken < notable ? '' : `, of which tensors that there are already take ${byteSize(taken)}`;
  throw new ModelError(
    `This model needs ${byteSize(bytes)} with {weights: '${setting}'}, and the wasm backend has ${byteSize(wasmBytes)}${others}. ` +
      `${advice}${others === '' ? '' : ', dispose of other models'}, or another backend: 'tensorflow' in Node, 'webgpu' in a browser.`,
  );
}

/** Bytes of tensors that are worth a word. */
const notable = 2 ** 24;
