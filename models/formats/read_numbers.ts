import {EigenkvError, ModelError} from '../../base/errors.js';
import type {CodedRow} from '../../base/files/coded_row.js';
import type {PackedFormat} from '../../ops/weights/formats.js';
import type {RowRange, TensorFile} from '../../base/files/tensor_file.js';

/**
 * Rows of a tensor as float32.
 * @throws ModelError if a number is NaN or infinite.
 */
export async function readFloats(file: TensorFile, tensor: string, rows: RowRange): Promise<Float32Array> {
  const values = await file.readFloat32(tensor, rows);
  for (let i = 0; i < values.length; i++) {
    // x - x is 0 for every number but NaN and the infinities
    if (values[i]! - values[i]! === 0) continue;
    const index = (values.length / (rows.end - rows.start)) * rows.start + i;
    throw new ModelError(
      `Tensor "${tensor}" holds ${values[i]!} at index ${index}; the weights are damaged, download or convert them again.`,
    );
  }
  return values;
}

/**
 * Rows of a tensor of 16-bit floats, or of codes, as they are stored.
 * @throws ModelError if a number is NaN or infinite, or if float16 cannot hold a scale or minimum.
 */
export async function readHeld(
  file: TensorFile,
  tensor: string,
  rows: RowRange,
  format: PackedFormat,
): Promise<Uint16Array | CodedRow> {
  const numbers = await file.readAsStored(tensor, rows);
  if (numbers === undefined)
    throw new EigenkvError(`Tensor "${tensor}" is neither of codes nor of 16-bit floats.`);
  const wrong = notFinite(numbers, format === 'bfloat16' ? 0x7f80 : 0x7c00);
  if (wrong !== undefined) {
    const row = rows.start + Math.floor(wrong * (rows.end - rows.start));
    await readFloats(file, tensor, {start: row, end: row + 1}); // throws if it is not finite as float32 either
    throw beyondFloat16(tensor, row);
  }
  return numbers;
}

/**
 * Where in the rows the first 16-bit float is that is NaN or infinite, as a share of their length. Undefined if all are finite.
 * @param exponent the bits that are all set in such a number.
 */
export function notFinite(numbers: Uint16Array | CodedRow, exponent = 0x7c00): number | undefined {
  const lists = numbers instanceof Uint16Array ? [numbers] : [numbers.scales, numbers.minima ?? []];
  for (const halves of lists) {
    for (let i = 0; i < halves.length; i++)
      if ((halves[i]! & exponent) === exponent) return i / halves.length;
  }
  return undefined;
}

/** @param output the index of the output that cannot be packed. */
export function beyondFloat16(tensor: string, output: number): ModelError {
  return new ModelError(
    `Tensor "${tensor}" has weights of output ${output} whose scale or minimum is beyond 65,504, the most that float16 holds, so that ` +
      "they cannot be packed. Load the model with {weights: 'float32'}.",
  );
}
