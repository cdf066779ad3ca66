import {FormatError} from '../../ops/errors.js';
import {openTensorPath} from '../weights/open_tensor_file.js';
import type {TensorFile} from '../../ops/files/tensor_file.js';
import {type TensorToWrite, writeSafetensorsFile} from '../../ops/files/write_safetensors.js';
import type {Calibration} from './calibration.js';
import {type DepthStatistics, gramSides, sumSides} from './statistics.js';

const kind = 'eigenkv calibration';
const version = 1;

/**
 * Writes a calibration as safetensors (Node only): `depth.<n>.<side>` F32 `[kvHeads, dim, dim]` and `depth.<n>.<side>.sum`
 * `[kvHeads, dim]`; fingerprint and tokens are in the metadata.
 * @throws TransferError where the disk fails.
 */
export async function saveCalibration(
  {fingerprint, tokens, depths}: Calibration,
  path: string,
): Promise<void> {
  const tensors = depths.flatMap(({kvHeads, dim, grams, sums}, depth): TensorToWrite[] => [
    ...gramSides.flatMap(side => tensorOf(`depth.${depth}.${side}`, [kvHeads, dim, dim], grams[side])),
    ...sumSides.flatMap(side => tensorOf(`depth.${depth}.${side}.sum`, [kvHeads, dim], sums[side])),
  ]);
  const metadata = {
    kind,
    version: String(version),
    fingerprint,
    tokens: String(tokens),
    depths: String(depths.length),
  };
  await writeSafetensorsFile(path, tensors, {metadata});
}

/**
 * Reads what `saveCalibration` wrote.
 * @throws InvalidArgumentError where there is no such file; FormatError where it is no calibration, damaged, or of a newer
 *   version.
 */
export async function loadCalibration(path: string): Promise<Calibration> {
  const file = await openTensorPath(path);
  try {
    const text = (key: string) => {
      const value = file.metadata.get(key);
      return typeof value === 'string' ? value : '';
    };
    if (text('kind') !== kind) {
      throw new FormatError(`${path} is no calibration; make one with "eigenkv calibrate --out FILE".`);
    }
    if (text('version') !== String(version)) {
      throw new FormatError(
        `${path} is a calibration of version ${text('version')}; this eigenkv reads version ${version}. Update it, or calibrate again.`,
      );
    }
    const [tokens, count] = [Number(text('tokens')), Number(text('depths'))];
    if (!(Number.isSafeInteger(tokens) && tokens > 0 && Number.isSafeInteger(count) && count > 0)) {
      throw new FormatError(
        `${path} says that it is of ${text('tokens')} tokens at ${text('depths')} depths; calibrate again.`,
      );
    }
    const depths: DepthStatistics[] = [];
    for (let depth = 0; depth < count; depth++) depths.push(await readDepth(file, depth, path));
    return {fingerprint: text('fingerprint'), tokens, depths};
  } finally {
    await file.close();
  }
}

function tensorOf(name: string, shape: number[], numbers: Float64Array | undefined): TensorToWrite[] {
  if (numbers === undefined) return [];
  return [{name, dtype: 'F32', shape, data: () => Float32Array.from(numbers)}];
}

async function readDepth(file: TensorFile, depth: number, path: string): Promise<DepthStatistics> {
  const [kvHeads = 0, dim = 0] = file.tensors.get(`depth.${depth}.keys`)?.shape ?? [];
  const read = async <Side extends string>(sides: readonly Side[], suffix: string, shape: number[]) => {
    const found: Partial<Record<Side, Float64Array>> = {};
    for (const side of sides) {
      const name = `depth.${depth}.${side}${suffix}`;
      const tensor = file.tensors.get(name);
      if (tensor === undefined) continue;
      if (tensor.shape.join() !== shape.join()) throw damaged(path, name);
      const numbers = Float64Array.from(await file.readFloat32(name));
      if (!numbers.every(Number.isFinite)) throw damaged(path, name);
      found[side] = numbers;
    }
    return found;
  };
  const grams = await read(gramSides, '', [kvHeads, dim, dim]);
  const sums = await read(sumSides, '.sum', [kvHeads, dim]);
  for (const side of ['queries', 'keys', 'values'] as const) {
    if (grams[side] === undefined) throw damaged(path, `depth.${depth}.${side}`);
  }
  return {kvHeads, dim, grams, sums};
}

function damaged(path: string, tensor: string): FormatError {
  return new FormatError(`${path}: the tensor "${tensor}" is missing or damaged; calibrate again.`);
}
