import type * as tf from '@tensorflow/tfjs';
import {EigenkvError, ModelError} from '../../base/errors.js';
import type {CodedRow} from '../../base/files/coded_row.js';
import type {GgufTensor} from '../../base/files/write_gguf.js';
import {type BlockType, blocksOf} from '../../base/files/write_gguf_blocks.js';
import {matrixOf} from '../../ops/weights/packed_variables.js';
import type {PackedFormat} from '../../ops/weights/formats.js';
import {type PackedMatrix, isPacked} from '../../ops/weights/matrix.js';
import {readCodes} from '../../ops/weights/records.js';
import type {StoredWeight} from '../architectures/parts/architecture.js';
import {fileValues} from './file_values.js';
import {outputOrder} from './layouts.js';
import type {FilledVariables} from './model_variables.js';

/** Types of ggml for numbers without blocks. */
export type PlainType = 'F32' | 'F16' | 'BF16';

/** The types that may hold the numbers of a packed format, the smallest first. */
const typesOf = {
  packed4: ['Q4_0', 'Q4_1'],
  packed8: ['Q5_0', 'Q8_0'],
  packed8Min: ['Q5_1'],
  packed8By16: ['Q6_K'],
  float16: 'F16',
  bfloat16: 'BF16',
} as const satisfies Record<PackedFormat, readonly BlockType[] | PlainType>;

/** Rows are written in chunks of about this size. */
const chunkBytes = 2 ** 20;

/**
 * A tensor of a GGUF file from the variables that it fills: packed matrices as blocks with the same numbers, all else as float32; or
 * matrices as `dtype`.
 *
 * @param isMatrix whether the format allows other types than F32 for this tensor.
 * @throws ModelError if no type of blocks holds exactly these numbers.
 */
export async function ggufTensor(
  filled: FilledVariables,
  isMatrix: boolean,
  dtype: PlainType | undefined,
): Promise<GgufTensor> {
  const {tensor: name, shape} = filled.stored;
  const matrices = filled.variables.map(matrixOf).filter(isPacked);
  if (dtype !== undefined || matrices.length === 0) {
    return {name, shape, dtype: (isMatrix && dtype) || 'F32', values: () => fileValues(filled)};
  }
  const type = await typeOf(filled, matrices);
  return {name, shape, dtype: type, bytes: () => rowsAs(type, filled)};
}

async function typeOf(
  filled: FilledVariables,
  matrices: readonly PackedMatrix[],
): Promise<BlockType | PlainType> {
  const {tensor, shape} = filled.stored;
  const [{format}] = matrices as [PackedMatrix];
  const refuse = (why: string) =>
    new ModelError(
      `Tensor "${tensor}" [${shape.join(', ')}], ${format} in memory, has no place in a GGUF file: ${why}. Save it with ` +
        "{dtype: 'F16'}, or with {dtype: 'F32'} to keep every number.",
    );
  if (matrices.length < filled.variables.length || matrices.some(each => each.format !== format)) {
    throw refuse('the parts that it joins are stored in different formats');
  }
  if (filled.stored.headwise !== undefined) throw refuse('the parts that it joins alternate');
  const types = typesOf[format];
  if (typeof types === 'string') return types;
  const unit = format === 'packed8By16' ? 256 : 32;
  if (shape[1]! % unit !== 0)
    throw refuse(`its rows of ${shape[1]!} numbers are not whole blocks of ${unit}`);
  for (const type of types) if (await holds(type, filled)) return type;
  throw refuse(`${types.join(' and ')} cannot hold exactly these numbers`);
}

async function holds(type: BlockType, filled: FilledVariables): Promise<boolean> {
  const inputs = filled.stored.shape[1]!;
  for (const variable of filled.variables) {
    for (const row of await rowsOf(variable, filled.stored)) {
      if (bytesOfRow(type, row, inputs) === undefined) return false;
    }
  }
  return true;
}

/** The bytes of all rows of a tensor; the records of one variable at a time are copied from the backend. */
async function* rowsAs(type: BlockType | PlainType, filled: FilledVariables): AsyncGenerator<Uint8Array> {
  const {variables, stored} = filled;
  for (const variable of variables) {
    let chunk: Uint8Array[] = [];
    let length = 0;
    for (const row of await rowsOf(variable, stored)) {
      const bytes = bytesOfRow(type, row, stored.shape[1]!)!;
      chunk.push(bytes);
      length += bytes.length;
      if (length < chunkBytes) continue;
      yield joined(chunk, length);
      chunk = [];
      length = 0;
    }
    yield joined(chunk, length);
  }
}

/** The codes of each output of a matrix, in the file's order. */
async function rowsOf(
  variable: tf.LayerVariable,
  stored: StoredWeight,
): Promise<Iterable<CodedRow | Uint16Array>> {
  const matrix = matrixOf(variable);
  if (!isPacked(matrix))
    throw new EigenkvError(`The weights of "${stored.tensor}" changed while they were saved.`);
  const {format, outputs, records} = matrix;
  const words = await records.data<'int32'>();
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const order = outputOrder(stored, [outputs]);
  return (function* () {
    for (let row = 0; row < outputs; row++) {
      yield readCodes(bytes, format, records.shape[1], order?.[row] ?? row);
    }
  })();
}

function bytesOfRow(
  type: BlockType | PlainType,
  row: CodedRow | Uint16Array,
  inputs: number,
): Uint8Array | undefined {
  if (row instanceof Uint16Array) return new Uint8Array(row.buffer, 0, 2 * inputs);
  return type === 'F32' || type === 'F16' || type === 'BF16' ? undefined : blocksOf(type, row);
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
