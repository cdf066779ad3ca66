import {inputsOfRecord} from '../../ops/weights/formats.js';
import type {PackedMatrix} from '../../ops/weights/matrix.js';
import {writeRow} from '../../ops/weights/records.js';
import {writeColumns} from './layouts.js';
import type {PackedPiece, Piece} from './read_pieces.js';

/** The outputs of a tensor that one of its variables takes. */
export interface OutputSlice {
  /** The tensor's output that is the variable's first, in this order. */
  readonly first: number;
  readonly outputs: number;
  /** The place of each output of the tensor. Default: as they are in the file. */
  readonly order?: Int32Array | undefined;
}

/** Writes outputs into the records `bytes` of a variable, as far as it takes them. */
export function writeRecords(
  bytes: Uint8Array,
  {format, inputs}: PackedMatrix,
  {rows, firstInput, numbers}: PackedPiece,
  slice: OutputSlice,
): void {
  const blocks = Math.ceil(inputs / inputsOfRecord);
  const firstBlock = firstInput / inputsOfRecord;
  const count = rows.end - rows.start;
  for (let row = 0; row < count; row++) {
    const output = placeOf(slice, rows.start + row);
    if (output < 0 || output >= slice.outputs) continue;
    writeRow(bytes, format, blocks, output, numbers, {row, rows: count, firstBlock});
  }
}

/** Writes rows of outputs into a float32 variable `[inputs, outputs]`, as far as it takes them. */
export function writeOutputRows(
  values: Float32Array,
  {rows, numbers}: Piece<Float32Array>,
  slice: OutputSlice,
): void {
  const count = rows.end - rows.start;
  const columnOf = Int32Array.from({length: count}, (_, row) => placeOf(slice, rows.start + row));
  writeColumns(numbers, numbers.length / count, values, slice.outputs, columnOf);
}

/** Writes rows along the outputs into a float32 variable of such rows, of each the outputs that it takes. */
export function writeRows(
  values: Float32Array,
  {rows, numbers}: Piece<Float32Array>,
  slice: OutputSlice,
): void {
  const {outputs} = slice;
  const columns = numbers.length / (rows.end - rows.start);
  if (columns === outputs && slice.order === undefined) {
    values.set(numbers, rows.start * outputs);
    return;
  }
  for (let column = 0; column < columns; column++) {
    const place = placeOf(slice, column);
    if (place < 0 || place >= outputs) continue;
    for (let row = rows.start, from = column; row < rows.end; row++, from += columns) {
      values[row * outputs + place] = numbers[from]!;
    }
  }
}

/** Where the variable has an output of the tensor; not among its outputs if it does not take it. */
function placeOf({first, order}: OutputSlice, output: number): number {
  return (order === undefined ? output : order[output]!) - first;
}
