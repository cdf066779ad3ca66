import {bytesOfRows} from '../backends/tensorflow_bytes.js';
import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';
import {inputsOfRecord, outputsOfRecord, packedFormats, type PackedFormat} from './formats.js';

/**
 * The weights in records, by TensorFlow's ops: int32 `[groups, blocks, words]` as float32 `[8 groups, 32 blocks]`. A row is an output; rows and
 * inputs beyond the matrix are zeros.
 */
export function rowsOfRecords(ops: TensorflowOps, records: Handle, format: PackedFormat): Handle {
  const {bits, groupSize, hasMinimum} = packedFormats[format];
  const [groups, blocks] = records.shape as [number, number];
  const shape = [groups * outputsOfRecord, blocks * inputsOfRecord];
  const bytes = bytesOfRows(ops, records);
  if (groupSize === Infinity) {
    const halves = ops.bitcast(pairs(ops, bytes), format === 'float16' ? 'float16' : 'bfloat16');
    const places = ops.reshape(halves, [groups, blocks, inputsOfRecord, outputsOfRecord]);
    return ops.reshape(ops.cast(ops.transpose(places, [0, 3, 1, 2]), 'float32'), shape);
  }
  const codeBytes = (outputsOfRecord * inputsOfRecord * bits) / 8;
  const codes = ops.part(bytes, 2, 0, codeBytes);
  const numbersAt = (from: number, count: number) =>
    ops.cast(ops.bitcast(pairs(ops, ops.part(bytes, 2, from, 2 * count)), 'float16'), 'float32');
  const perBlock = inputsOfRecord / groupSize;
  // [groups, blocks, 8] as [groups, 8, blocks, 1, 1]
  const ofOutputs = (numbers: Handle, scales: number) =>
    ops.reshape(
      ops.transpose(ops.reshape(numbers, [groups, blocks, scales, outputsOfRecord]), [0, 3, 1, 2]),
      [...[groups, outputsOfRecord, blocks, scales, 1]],
    );
  const scales = ofOutputs(numbersAt(codeBytes, outputsOfRecord * perBlock), perBlock);
  const whole = bits === 4 ? codesOf4Bits(ops, codes) : codesOf8Bits(ops, codes);
  const scaled = ops.mul(ops.reshape(whole, [groups, outputsOfRecord, blocks, perBlock, groupSize]), scales);
  if (!hasMinimum) return ops.reshape(scaled, shape);
  const minima = ofOutputs(numbersAt(codeBytes + 2 * outputsOfRecord * perBlock, outputsOfRecord), 1);
  return ops.reshape(ops.add(scaled, minima), shape);
}

/** uint8 `[..., 2 n]` as `[..., n, 2]`: the bytes of numbers of 16 bits. */
function pairs(ops: TensorflowOps, bytes: Handle): Handle {
  return ops.reshape(bytes, [...bytes.shape.slice(0, -1), bytes.shape.at(-1)! / 2, 2]);
}

/** float32 `[groups, outputs, blocks, inputs]` of bytes `16 (i >> 1) + 2 c + (i & 1)`. */
function codesOf8Bits(ops: TensorflowOps, bytes: Handle): Handle {
  const [groups, blocks] = bytes.shape as [number, number];
  const signed = ops.bitcast(
    ops.reshape(bytes, [groups, blocks, inputsOfRecord / 2, outputsOfRecord, 2]),
    'int8',
  );
  return ops.transpose(ops.cast(signed, 'float32'), [0, 3, 1, 2, 4]);
}

/** The same of bytes `32 (i >> 3) + 16 (c >> 2) + 4 (c & 3) + (i & 3)`, whose upper halves are those with `i & 4`. */
function codesOf4Bits(ops: TensorflowOps, bytes: Handle): Handle {
  const [groups, blocks] = bytes.shape as [number, number];
  const places = ops.reshape(bytes, [groups, blocks, inputsOfRecord / 8, outputsOfRecord, 1, 4]);
  const shifted = ops.shiftRight(places, ops.constant([0, 4], [2, 1], 'uint8'));
  return ops.transpose(ops.cast(ops.and(shifted, 15), 'float32'), [0, 3, 1, 2, 4, 5]);
}
