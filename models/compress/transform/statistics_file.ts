import * as v from 'valibot';
import {FormatError} from '../../../base/errors.js';
import {parseJsonText} from '../../../base/files/json_text.js';
import type {TensorFile} from '../../../base/files/tensor_file.js';
import type {TensorToWrite} from '../../../base/files/write_safetensors.js';
import {type RopeConfig, ropeFrequencies} from '../../../ops/rotate/rope.js';
import {ropeSchema} from '../../../ops/rotate/rope_schema.js';
import {
  type DepthTransformStatistics,
  type TransformStatistics,
  type TransformSum,
  sumShape,
  transformSums,
} from './statistics.js';

const names = Object.keys(transformSums) as TransformSum[];
const countNames = ['tokens', 'gradientTokens', 'scaleTokens'] as const;

/** `transform.<depth>.origin`, `.outputMetrics` and the sums, `transform.<depth>.<sum>`: F32, as in `transformSums`. */
export function transformTensors({depths, rope}: TransformStatistics): TensorToWrite[] {
  return depths.flatMap((depth, index) => {
    const {kvHeads, dim, origin, outputMetrics, sums} = depth;
    const tensor = (name: string, shape: number[], numbers: Float64Array): TensorToWrite => ({
      ...{name: `transform.${index}.${name}`, dtype: 'F32', shape},
      data: () => Float32Array.from(numbers),
    });
    return [
      tensor('origin', [kvHeads, dim], origin),
      tensor('outputMetrics', [kvHeads, dim, dim], outputMetrics),
      ...names.map(name => tensor(name, sumShape(name, {kvHeads, dim, rope}), sums[name])),
    ];
  });
}

/** Counts and rotary positions: metadata holds strings only. */
export function transformMetadata(statistics: TransformStatistics): Record<string, string> {
  const counts = countNames.map(name => statistics[name]).join(' ');
  const {rope} = statistics;
  return {transform_tokens: counts, ...(rope && {transform_rope: JSON.stringify(rope)})};
}

/** Undefined if the file has none: one from before there were transforms, or without gradients. */
export async function readTransformStatistics(
  file: TensorFile,
  depths: number,
  path: string,
): Promise<TransformStatistics | undefined> {
  const counts = file.metadata.get('transform_tokens');
  if (typeof counts !== 'string') return undefined;
  const [tokens = NaN, gradientTokens = NaN, scaleTokens = NaN] = counts.split(' ').map(Number);
  if (![tokens, gradientTokens, scaleTokens].every(count => Number.isSafeInteger(count) && count >= 0)) {
    throw new FormatError(
      `${path} says that its transforms are of "${counts}" tokens, which cannot be; calibrate again.`,
    );
  }
  const rope = readRope(file, 'transform_rope', file.tensors.get('transform.0.origin')?.shape[1] ?? 0, path);
  const found: DepthTransformStatistics[] = [];
  for (let depth = 0; depth < depths; depth++) {
    const [kvHeads = 0, dim = 0] = file.tensors.get(`transform.${depth}.origin`)?.shape ?? [];
    const read = async (name: string, shape: readonly number[]) => {
      const full = `transform.${depth}.${name}`;
      const numbers =
        file.tensors.get(full)?.shape.join() === shape.join() ? await file.readFloat32(full) : [];
      if (numbers.length > 0 && numbers.every(Number.isFinite)) return Float64Array.from(numbers);
      throw new FormatError(`${path}: the tensor "${full}" is missing or damaged; calibrate again.`);
    };
    const origin = await read('origin', [kvHeads, dim]);
    const outputMetrics = await read('outputMetrics', [kvHeads, dim, dim]);
    const sums: Partial<Record<TransformSum, Float64Array>> = {};
    for (const name of names) sums[name] = await read(name, sumShape(name, {kvHeads, dim, rope}));
    found.push({kvHeads, dim, origin, outputMetrics, sums: sums as Record<TransformSum, Float64Array>});
  }
  return {tokens, gradientTokens, scaleTokens, ...(rope && {rope}), depths: found};
}

/** Rotary positions as a file's metadata has them. */
export function readRope(file: TensorFile, key: string, dim: number, path: string): RopeConfig | undefined {
  const text = file.metadata.get(key);
  if (text === undefined) return undefined;
  try {
    const rope = v.parse(ropeSchema, parseJsonText(typeof text === 'string' ? text : '', key));
    ropeFrequencies(rope, dim);
    return rope;
  } catch (cause) {
    throw new FormatError(`${path} has an invalid rotary configuration; calibrate again.`, {cause});
  }
}
