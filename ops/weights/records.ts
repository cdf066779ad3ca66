import type {CodedRow} from '../../base/files/coded_row.js';
import {float16Values, writeHalf} from '../../base/files/float_formats.js';
import {type PackedFormat, inputsOfRecord, outputsOfRecord, packedFormats, recordBytes} from './formats.js';

/** Which of several rows that follow each other is written, and the block of the matrix from which on. Default: the only one, from 0 on. */
export interface WrittenRow {
  readonly row?: number;
  readonly rows?: number;
  readonly firstBlock?: number;
}

/**
 * Writes consecutive weights of one output into the records of a matrix.
 *
 * @param bytes the matrix's records, all of them.
 * @param blocks blocks of 32 inputs that the matrix has.
 * @param numbers codes of whole blocks; of `float16` and `bfloat16` the bits of the numbers, followed by zeros if the last block is not
 *   full. Rows are told by numbers and not given as views: of a model there are some 100,000.
 */
export function writeRow(
  bytes: Uint8Array,
  format: PackedFormat,
  blocks: number,
  output: number,
  numbers: CodedRow | Uint16Array,
  {row = 0, rows = 1, firstBlock = 0}: WrittenRow = {},
): void {
  const column = output % outputsOfRecord;
  const size = recordBytes(format);
  let at = ((output - column) / outputsOfRecord) * blocks * size + firstBlock * size;
  if (numbers instanceof Uint16Array) {
    const length = numbers.length / rows;
    const end = length * (row + 1);
    for (let from = length * row; from < end; from += inputsOfRecord, at += size) {
      for (let i = 0; i < inputsOfRecord; i++) {
        writeHalf(bytes, at + 16 * i + 2 * column, from + i < end ? numbers[from + i]! : 0);
      }
    }
    return;
  }
  const {codes, scales, minima} = numbers;
  const {bits, groupSize, hasMinimum} = packedFormats[format];
  const write = bits === 4 ? writeCodes4 : writeCodes8;
  const scalesAt = outputsOfRecord * ((inputsOfRecord * bits) / 8);
  const perBlock = inputsOfRecord / groupSize;
  const count = codes.length / inputsOfRecord / rows;
  for (let block = count * row; block < count * (row + 1); block++, at += size) {
    write(bytes, at, column, codes, block * inputsOfRecord);
    let to = at + scalesAt + 2 * column;
    for (let i = 0; i < perBlock; i++, to += 2 * outputsOfRecord) {
      writeHalf(bytes, to, scales[block * perBlock + i]!);
    }
    if (hasMinimum) writeHalf(bytes, to, minima?.[block] ?? 0);
  }
}

function writeCodes4(bytes: Uint8Array, at: number, column: number, codes: CodedRow['codes'], from: number) {
  let to = at + 16 * (column >> 2) + 4 * (column & 3);
  for (let i = from; i < from + inputsOfRecord; i += 8, to += 32) {
    for (let j = 0; j < 4; j++) bytes[to + j] = codes[i + j]! | (codes[i + 4 + j]! << 4);
  }
}

function writeCodes8(bytes: Uint8Array, at: number, column: number, codes: CodedRow['codes'], from: number) {
  for (let i = 0, to = at + 2 * column; i < inputsOfRecord; i += 2, to += 16) {
    bytes[to] = codes[from + i]!;
    bytes[to + 1] = codes[from + i + 1]!;
  }
}

/** The weights of one output as float32, `[blocks * 32]`. `bytes` are the matrix's records. */
export function readRow(
  bytes: Uint8Array,
  format: PackedFormat,
  blocks: number,
  output: number,
): Float32Array {
  const values = new Float32Array(blocks * inputsOfRecord);
  const numbers = numberReader(bytes, format);
  const column = output % outputsOfRecord;
  const size = recordBytes(format);
  const first = ((output - column) / outputsOfRecord) * blocks * size;
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < inputsOfRecord; i++) {
      values[block * inputsOfRecord + i] = numbers(first + block * size, column, i);
    }
  }
  return values;
}

/** What `writeRow` wrote of one output: codes, or the bits of 16-bit floats; whole blocks. `bytes` are the matrix's records. */
export function readCodes(
  bytes: Uint8Array,
  format: PackedFormat,
  blocks: number,
  output: number,
): CodedRow | Uint16Array {
  const {bits, groupSize, hasMinimum} = packedFormats[format];
  const column = output % outputsOfRecord;
  const size = recordBytes(format);
  const first = ((output - column) / outputsOfRecord) * blocks * size + 2 * column;
  if (bits === 16) return halvesAt(bytes, first, blocks * inputsOfRecord, 16);
  const codes = new (bits === 4 ? Uint8Array : Int8Array)(blocks * inputsOfRecord);
  const read = bits === 4 ? readCodes4 : readCodes8;
  for (let block = 0; block < blocks; block++) {
    read(bytes, first - 2 * column + block * size, column, codes, block * inputsOfRecord);
  }
  const scalesAt = first + outputsOfRecord * ((inputsOfRecord * bits) / 8);
  const perBlock = inputsOfRecord / groupSize;
  const scales = new Uint16Array(blocks * perBlock);
  for (let block = 0; block < blocks; block++) {
    scales.set(halvesAt(bytes, scalesAt + block * size, perBlock, 2 * outputsOfRecord), block * perBlock);
  }
  if (!hasMinimum) return {codes, scales};
  return {codes, scales, minima: halvesAt(bytes, scalesAt + 2 * outputsOfRecord * perBlock, blocks, size)};
}

function readCodes4(bytes: Uint8Array, at: number, column: number, codes: CodedRow['codes'], to: number) {
  let from = at + 16 * (column >> 2) + 4 * (column & 3);
  for (let i = to; i < to + inputsOfRecord; i += 8, from += 32) {
    for (let j = 0; j < 4; j++) {
      const pair = bytes[from + j]!;
      codes[i + j] = pair & 15;
      codes[i + 4 + j] = pair >> 4;
    }
  }
}

function readCodes8(bytes: Uint8Array, at: number, column: number, codes: CodedRow['codes'], to: number) {
  for (let i = 0, from = at + 2 * column; i < inputsOfRecord; i += 2, from += 16) {
    codes[to + i] = bytes[from]!;
    codes[to + i + 1] = bytes[from + 1]!;
  }
}

/** Numbers of 16 bits that are `stride` bytes apart. */
function halvesAt(bytes: Uint8Array, from: number, count: number, stride: number): Uint16Array {
  const out = new Uint16Array(count);
  for (let i = 0, at = from; i < count; i++, at += stride) out[i] = bytes[at]! | (bytes[at + 1]! << 8);
  return out;
}

/** Gives the weight of a column and input of the record at a byte. */
function numberReader(
  bytes: Uint8Array,
  format: PackedFormat,
): (record: number, column: number, input: number) => number {
  const {bits, groupSize, hasMinimum} = packedFormats[format];
  const halves = float16Values();
  const half = (at: number) => bytes[at]! | (bytes[at + 1]! << 8);
  if (format === 'bfloat16')
    return (record, column, input) => bfloat16(half(record + 16 * input + 2 * column));
  if (bits === 16) return (record, column, input) => halves[half(record + 16 * input + 2 * column)]!;
  const scalesAt = outputsOfRecord * ((inputsOfRecord * bits) / 8);
  const minimaAt = scalesAt + 2 * outputsOfRecord;
  return (record, column, input) => {
    const group = Math.floor(input / groupSize);
    const scale = halves[half(record + scalesAt + 2 * (outputsOfRecord * group + column))]!;
    const minimum = hasMinimum ? halves[half(record + minimaAt + 2 * column)]! : 0;
    return scale * codeAt(bytes, record, bits, column, input) + minimum;
  };
}

function codeAt(bytes: Uint8Array, record: number, bits: 4 | 8, column: number, input: number): number {
  if (bits === 8) return (bytes[record + 16 * (input >> 1) + 2 * column + (input & 1)]! << 24) >> 24;
  const byte = bytes[record + 32 * (input >> 3) + 16 * (column >> 2) + 4 * (column & 3) + (input & 3)]!;
  return (input & 4) === 0 ? byte & 15 : byte >> 4;
}

const word = new Uint32Array(1);
const wordAsFloat = new Float32Array(word.buffer);

function bfloat16(bits: number): number {
  word[0] = bits << 16;
  return wordAsFloat[0]!;
}
