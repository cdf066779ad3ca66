import {EigenkvError} from '../../base/errors.js';
import type {CodedRow} from '../../base/files/coded_row.js';
import type {RowRange, TensorFile} from '../../base/files/tensor_file.js';
import {freeArrays} from '../../base/free_arrays.js';
import {type PackedFormat, inputsOfRecord} from '../../ops/weights/formats.js';
import {roundRows} from '../../ops/weights/round_rows.js';
import type {StoredWeight} from '../architectures/parts/architecture.js';
import {inOrder, writeColumns} from './layouts.js';
import {beyondFloat16, notFinite, readFloats, readHeld} from './read_numbers.js';
import {hasOutputRows, heldFormat} from './weight_formats.js';

/** Some of a tensor's numbers, as rows that follow each other. */
export interface Piece<Numbers> {
  readonly rows: RowRange;
  readonly numbers: Numbers;
  /** Bytes of the file that were read for it. */
  readonly bytes: number;
}

/** Rows are outputs, whatever they are in the file. Codes are in whole blocks of 32 inputs. */
export interface PackedPiece extends Piece<Uint16Array | CodedRow> {
  /** The first input of each row, a multiple of 32: not 0 if the rows of the file are inputs. */
  readonly firstInput: number;
}

/** Frees the numbers of a piece. */
export function freeNumbers({numbers}: Piece<Float32Array | Uint16Array | CodedRow>): void {
  if ('codes' in numbers) freeArrays(numbers.codes, numbers.scales, numbers.minima);
  else freeArrays(numbers);
}

/** So many numbers that reading and writing them take some 10 ms, and a few MB. */
const numbersOfPiece = 2 ** 20;

/**
 * A tensor's rows as float32, piece by piece, as the model has its numbers.
 * @throws ModelError if a number is NaN or infinite; FormatError if the file is damaged.
 */
export async function* readFloatPieces(
  file: TensorFile,
  stored: StoredWeight,
): AsyncGenerator<Piece<Float32Array>> {
  for (const {rows, bytes} of rangesOf(file, stored, 1)) {
    const numbers = await readFloats(file, stored.tensor, rows);
    const {added = 0} = stored;
    if (added !== 0) for (let i = 0; i < numbers.length; i++) numbers[i]! += added;
    yield {rows, bytes, numbers};
  }
}

/**
 * A matrix as a packed format stores it, piece by piece. If the format holds them, codes and 16-bit floats come as they are in the file,
 * without float32 in between; other numbers are rounded.
 * @throws ModelError if a number is NaN or infinite, or if a scale does not fit float16; FormatError if the file is damaged.
 */
export async function* readPackedPieces(
  file: TensorFile,
  stored: StoredWeight,
  format: PackedFormat,
): AsyncGenerator<PackedPiece> {
  const {tensor, shape} = stored;
  const isHeld = heldFormat(stored, file.tensors.get(tensor)!.dtype) === format;
  const read = (rows: RowRange) =>
    isHeld ? readHeld(file, tensor, rows, format) : readFloats(file, tensor, rows);
  const pack = (numbers: Float32Array | Uint16Array | CodedRow, outputs: RowRange) =>
    numbers instanceof Float32Array ? rounded(numbers, outputs, format, tensor) : numbers;
  if (hasOutputRows(stored)) {
    for (const {rows, bytes} of rangesOf(file, stored, 1)) {
      yield {rows, bytes, firstInput: 0, numbers: pack(await read(rows), rows)};
    }
    return;
  }
  const outputs = {start: 0, end: shape[1]!};
  for (const {rows, bytes} of rangesOf(file, stored, inputsOfRecord)) {
    const numbers = pack(withOutputRows(await read(rows), outputs.end), outputs);
    yield {rows: outputs, bytes, firstInput: rows.start, numbers};
  }
}

/** The rows of a tensor in ranges of a few MB and a multiple of `unit` rows. */
export function* rangesOf(
  {tensors}: TensorFile,
  {tensor, shape}: Pick<StoredWeight, 'tensor' | 'shape'>,
  unit: number,
): Generator<{rows: RowRange; bytes: number}> {
  const columns = shape.at(-1) ?? 1;
  const count = shape.slice(0, -1).reduce((product, axis) => product * axis, 1);
  const step = unit * Math.max(1, Math.floor(numbersOfPiece / (columns * unit)));
  const rowBytes = tensors.get(tensor)!.byteLength / count;
  for (let start = 0; start < count; start += step) {
    const end = Math.min(start + step, count);
    yield {rows: {start, end}, bytes: rowBytes * (end - start)};
  }
}

/** Rows of inputs as rows of outputs. */
function withOutputRows(
  numbers: Float32Array | Uint16Array | CodedRow,
  outputs: number,
): Float32Array | Uint16Array {
  if ('codes' in numbers) throw new EigenkvError('Codes of rows of inputs cannot be packed.');
  const {length} = numbers;
  const out = numbers instanceof Float32Array ? new Float32Array(length) : new Uint16Array(length);
  const inputs = length / outputs;
  writeColumns(numbers, outputs, out, inputs, inOrder(inputs));
  freeArrays(numbers);
  return out;
}

function rounded(
  numbers: Float32Array,
  {start, end}: RowRange,
  format: PackedFormat,
  tensor: string,
): CodedRow {
  if (format !== 'packed8' && format !== 'packed4') {
    throw new EigenkvError(`Tensor "${tensor}" cannot be rounded to ${format}.`);
  }
  const codes = roundRows(numbers, numbers.length / (end - start), format);
  freeArrays(numbers);
  const wrong = notFinite(codes);
  if (wrong !== undefined) throw beyondFloat16(tensor, start + Math.floor(wrong * (end - start)));
  return codes;
}
