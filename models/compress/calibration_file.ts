import {FormatError} from '../../base/errors.js';
import {openTensorPath} from '../../base/files/open_tensor_file.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {type TensorToWrite, writeSafetensorsFile} from '../../base/files/write_safetensors.js';
import type {Calibration} from './calibrate.js';
import {type DepthStatistics, gramSides, sumSides} from './statistics.js';
import {readTransformStatistics, transformMetadata, transformTensors} from './transform/statistics_file.js';

const kind = 'eigenkv calibration';
const version = 1;

/**
 * Writes a calibration as safetensors (Node only): `depth.<n>.<side>` F32 `[kvHeads, dim, dim]` and `depth.<n>.<side>.sum`
 * `[kvHeads, dim]`, those of gradients as `gradient.<n>.<side>`, what transforms are
 * computed from as `transform.<n>.<sum>`; the metadata has fingerprint and tokens.
 * @throws TransferError if the disk fails.
 */
export async function saveCalibration(
  {fingerprint, tokens, depths, gradients, transform}: Calibration,
  path: string,
): Promise<void> {
  const tensors = [
    ...tensorsOf('depth', depths),
    ...tensorsOf('gradient', gradients?.depths ?? []),
    ...(transform ? transformTensors(transform) : []),
  ];
  const metadata = {
    kind,
    version: String(version),
    fingerprint,
    tokens: String(tokens),
    depths: String(depths.length),
    ...(gradients && {gradient_tokens: String(gradients.tokens)}), // metadata holds strings only
    ...(transform && transformMetadata(transform)),
  };
  await writeSafetensorsFile(path, tensors, {metadata});
}

/**
 * Reads what `saveCalibration` wrote.
 * @throws InvalidArgumentError if there is no such file; FormatError if it is not a calibration, damaged, or of another version.
 */
export async function loadCalibration(path: string): Promise<Calibration> {
  if (path.endsWith('.json')) throw noCalibration(path); // not an index of shards either, as which it would be read
  const file = await openTensorPath(path);
  try {
    const text = (key: string) => {
      const value = file.metadata.get(key);
      return typeof value === 'string' ? value : '';
    };
    if (text('kind') !== kind) throw noCalibration(path);
    if (text('version') !== String(version)) {
      throw new FormatError(
        `${path} is a calibration of version ${text('version')}; this eigenkv reads version ${version}. Update it, or calibrate again.`,
      );
    }
    const [tokens, count] = [Number(text('tokens')), Number(text('depths'))];
    if (!(Number.isSafeInteger(tokens) && tokens > 0 && Number.isSafeInteger(count) && count > 0)) {
      throw new FormatError(
        `${path} says that it is of ${text('tokens')} tokens at ${text('depths')} depths, which cannot be; calibrate again.`,
      );
    }
    const depths = await readDepths(file, 'depth', count, path);
    const gradientTokens = Number(text('gradient_tokens'));
    const gradients =
      gradientTokens > 0
        ? {tokens: gradientTokens, depths: await readDepths(file, 'gradient', count, path)}
        : undefined;
    const transform = await readTransformStatistics(file, count, path);
    return {
      ...{fingerprint: text('fingerprint'), tokens, depths},
      ...(gradients && {gradients}),
      ...(transform && {transform}),
    };
  } finally {
    await file.close();
  }
}

/** What the matrices in a file are sums of. */
type Kind = 'depth' | 'gradient';

function tensorsOf(kind: Kind, depths: readonly DepthStatistics[]): TensorToWrite[] {
  return depths.flatMap(({kvHeads, dim, grams, sums}, depth) => [
    ...gramSides.flatMap(side => tensorOf(`${kind}.${depth}.${side}`, [kvHeads, dim, dim], grams[side])),
    ...sumSides.flatMap(side => tensorOf(`${kind}.${depth}.${side}.sum`, [kvHeads, dim], sums[side])),
  ]);
}

function tensorOf(name: string, shape: number[], numbers: Float64Array | undefined): TensorToWrite[] {
  if (numbers === undefined) return [];
  return [{name, dtype: 'F32', shape, data: () => Float32Array.from(numbers)}];
}

async function readDepths(
  file: TensorFile,
  kind: Kind,
  count: number,
  path: string,
): Promise<DepthStatistics[]> {
  const depths: DepthStatistics[] = [];
  for (let depth = 0; depth < count; depth++) depths.push(await readDepth(file, kind, depth, path));
  return depths;
}

async function readDepth(
  file: TensorFile,
  kind: Kind,
  depth: number,
  path: string,
): Promise<DepthStatistics> {
  const [kvHeads = 0, dim = 0] = file.tensors.get(`${kind}.${depth}.keys`)?.shape ?? [];
  const read = async <Side extends string>(sides: readonly Side[], suffix: string, shape: number[]) => {
    const found: Partial<Record<Side, Float64Array>> = {};
    for (const side of sides) {
      const name = `${kind}.${depth}.${side}${suffix}`;
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
  for (const side of neededSides[kind]) {
    if (grams[side] === undefined) throw damaged(path, `${kind}.${depth}.${side}`);
  }
  return {kvHeads, dim, grams, sums};
}

/** Sides that a file must have. */
const neededSides = {depth: ['queries', 'keys', 'values'], gradient: ['keys', 'values']} as const;

function damaged(path: string, tensor: string): FormatError {
  return new FormatError(`${path}: the tensor "${tensor}" is missing or damaged; calibrate again.`);
}

function noCalibration(path: string): FormatError {
  return new FormatError(
    `${path} is not a calibration; make one with "eigenkv calibrate --out FILE.safetensors", or saveCalibration.`,
  );
}
