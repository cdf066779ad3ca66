import * as v from 'valibot';
import {FormatError, ModelError} from '../../base/errors.js';
import type {CodedRow} from '../../base/files/coded_row.js';
import {type RowRange, type TensorFile, type TensorInfo, findTensor} from '../../base/files/tensor_file.js';
import type {TensorToWrite} from '../../base/files/write_safetensors.js';
import {matrixOf} from '../../ops/weights/packed_variables.js';
import {type PackedFormat, outputsOfRecord, packedFormats, recordsShape} from '../../ops/weights/formats.js';
import {type PackedMatrix, isPacked} from '../../ops/weights/matrix.js';
import {readCodes, readRow, writeRow} from '../../ops/weights/records.js';
import {outputOrder} from './layouts.js';
import type {FilledVariables} from './model_variables.js';

/**
 * The key of a hub's config.json that says that matrices were packed when the model was saved, and which tensors of the safetensors are
 * records of codes (`packedFormats`, I32) in place of matrices.
 */
export const packedKey = 'eigenkv_weights';
const version = 1;

/** A packed matrix of a file: what its records do not say. */
interface PackedTensor {
  readonly format: PackedFormat;
  /** `[outputs, inputs]` */
  readonly shape: readonly [outputs: number, inputs: number];
}

/** A tensor of records, and what config.json says of it. */
export interface RecordsToWrite {
  readonly tensor: TensorToWrite;
  readonly packed: PackedTensor;
}

/** The value of the key in config.json. */
export function packedTensorsToJson(records: readonly RecordsToWrite[]): object {
  return {version, tensors: Object.fromEntries(records.map(({tensor, packed}) => [tensor.name, packed]))};
}

/**
 * A tensor of records as the model has them.
 * @returns undefined if a variable that fills the tensor is float32, or their formats differ.
 */
export function recordsToWrite({stored, variables}: FilledVariables): RecordsToWrite | undefined {
  const matrices = variables.map(matrixOf).filter(isPacked);
  const [first] = matrices;
  if (first === undefined || matrices.length < variables.length) return undefined;
  const {format, inputs} = first;
  if (matrices.some(matrix => matrix.format !== format)) return undefined;
  const outputs = matrices.reduce((sum, matrix) => sum + matrix.outputs, 0);
  const shape = recordsShape(format, inputs, outputs);
  const order = outputOrder(
    stored,
    matrices.map(each => each.outputs),
  );
  const isOne = matrices.length === 1 && order === undefined;
  const data = () => (isOne ? first.records.data<'int32'>() : joinedRecords(matrices, shape, order));
  return {
    tensor: {name: stored.tensor, dtype: 'I32', shape, data},
    packed: {format, shape: [outputs, inputs]},
  };
}

/**
 * The records of the outputs of several matrices, one after the other.
 * @param order where each output of the tensor is among them. Default: in their place.
 */
async function joinedRecords(
  matrices: readonly PackedMatrix[],
  shape: readonly [number, number, number],
  order?: Int32Array,
): Promise<Int32Array> {
  const [groups, blocks, words] = shape;
  const joined = new Int32Array(groups * blocks * words);
  const to = new Uint8Array(joined.buffer);
  const places = order && inverse(order);
  let first = 0;
  for (const {format, outputs, records} of matrices) {
    const from = bytesOf(await records.data<'int32'>());
    for (let output = 0; output < outputs; output++) {
      const place = places?.[first + output] ?? first + output;
      writeRow(to, format, blocks, place, readCodes(from, format, blocks, output));
    }
    first += outputs;
  }
  return joined;
}

function inverse(order: Int32Array): Int32Array {
  const places = new Int32Array(order.length);
  order.forEach((to, from) => (places[to] = from));
  return places;
}

const bytesOf = ({buffer, byteOffset, byteLength}: Int32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const schema = v.strictObject({
  version: v.literal(version),
  tensors: v.record(
    v.string(),
    v.strictObject({
      format: v.picklist(Object.keys(packedFormats) as PackedFormat[]),
      shape: v.tuple([count, count]),
    }),
  ),
});

/**
 * A file whose packed tensors are matrices: their shape is `[outputs, inputs]`, their dtype the name of the format, and their rows are
 * read from records.
 *
 * @param json what config.json has at `packedKey`. If undefined, the file is returned.
 * @throws ModelError if it is of a newer version; FormatError if it is wrong, or does not fit the file.
 */
export function withPackedTensors(file: TensorFile, json: unknown): TensorFile {
  if (json === undefined) return file;
  const packed = new Map(Object.entries(tensorsOf(json)));
  const tensors = new Map(
    [...file.tensors].map(([name, info]): [string, TensorInfo] => {
      const matrix = packed.get(name);
      return [name, matrix === undefined ? info : {...info, dtype: matrix.format, shape: matrix.shape}];
    }),
  );
  for (const [name, matrix] of packed) checkRecords(findTensor(file.tensors, name, 'The file'), matrix);
  const rowsOf = async (name: string, {format, shape: [outputs, inputs]}: PackedTensor, rows?: RowRange) => {
    const {start, end} = rows ?? {start: 0, end: outputs};
    const blocks = recordsShape(format, inputs, outputs)[1];
    const firstGroup = Math.floor(start / outputsOfRecord);
    const bytes = await file.readBytes(name, {
      start: firstGroup * blocks,
      end: Math.ceil(end / outputsOfRecord) * blocks,
    });
    const first = firstGroup * outputsOfRecord;
    return Array.from(
      {length: end - start},
      (_, row) => [bytes, format, blocks, start + row - first] as const,
    );
  };
  return {
    ...file,
    tensors,
    isPacked: true,
    async readFloat32(name, rows) {
      const matrix = packed.get(name);
      if (matrix === undefined) return file.readFloat32(name, rows);
      const inputs = matrix.shape[1];
      const all = await rowsOf(name, matrix, rows);
      const values = new Float32Array(all.length * inputs);
      all.forEach((row, i) => values.set(readRow(...row).subarray(0, inputs), i * inputs));
      return values;
    },
    async readAsStored(name, rows) {
      const matrix = packed.get(name);
      if (matrix === undefined) return file.readAsStored(name, rows);
      return joinedRows((await rowsOf(name, matrix, rows)).map(row => readCodes(...row)));
    },
  };
}

function tensorsOf(json: unknown): Readonly<Record<string, PackedTensor>> {
  const given = v.safeParse(v.looseObject({version: v.number()}), json);
  if (given.success && given.output.version > version) {
    throw new ModelError(
      `The model was saved by a newer eigenkv (${packedKey} of version ${given.output.version}); this one reads version ${version}. ` +
        'Update eigenkv.',
    );
  }
  const result = v.safeParse(schema, json, {abortEarly: true}); // an untrusted file can be wrong thousands of times
  if (result.success) return result.output.tensors;
  const [issue] = result.issues;
  throw new FormatError(
    `${packedKey}.${v.getDotPath(issue) ?? 'version'} in config.json is wrong: ${issue.message}. Save the model again.`,
  );
}

function checkRecords(
  {name, dtype, shape}: TensorInfo,
  {format, shape: [outputs, inputs]}: PackedTensor,
): void {
  const expected = recordsShape(format, inputs, outputs);
  if (dtype === 'I32' && shape.join() === expected.join()) return;
  throw new FormatError(
    `Tensor "${name}" is ${dtype} [${shape.join(', ')}]; by ${packedKey} in config.json it holds the records of a ${format} matrix ` +
      `[${outputs}, ${inputs}], I32 [${expected.join(', ')}]. Save the model again.`,
  );
}

/** The codes of several outputs, one after the other. */
function joinedRows(rows: readonly (CodedRow | Uint16Array)[]): CodedRow | Uint16Array {
  const coded = rows.flatMap(row => (row instanceof Uint16Array ? [] : [row]));
  if (coded.length === 0) return joinedHalves(rows.flatMap(row => (row instanceof Uint16Array ? [row] : [])));
  const codes = new Int8Array(coded.reduce((sum, row) => sum + row.codes.length, 0));
  let at = 0;
  for (const row of coded) {
    codes.set(row.codes, at);
    at += row.codes.length;
  }
  const minima = coded.flatMap(row => (row.minima === undefined ? [] : [row.minima]));
  return {
    codes,
    scales: joinedHalves(coded.map(({scales}) => scales)),
    minima: minima.length > 0 ? joinedHalves(minima) : undefined,
  };
}

function joinedHalves(parts: readonly Uint16Array[]): Uint16Array {
  const joined = new Uint16Array(parts.reduce((sum, {length}) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
