import type {Handle, TensorflowOps} from './tensorflow_ops.js';

// Bytes of words and numbers of a few bits by TensorFlow's ops: how codes lie in int32.

/** The bytes of the words of a row: int32 `[..., n]` as uint8 `[..., 4 n]`. */
export function bytesOfRows(ops: TensorflowOps, words: Handle): Handle {
  const shape = [...words.shape.slice(0, -1), 4 * words.shape.at(-1)!];
  return ops.reshape(ops.bitcast(words, 'uint8'), shape);
}

/** uint8 `[..., 4 n]` as int32 `[..., n]`. */
export function wordsOfRows(ops: TensorflowOps, bytes: Handle): Handle {
  const words = bytes.shape.at(-1)! / 4;
  return ops.bitcast(ops.reshape(bytes, [...bytes.shape.slice(0, -1), words, 4]), 'int32');
}

/** Numbers that are whole and from 0 to 2^bits - 1, float32 `[..., n]`, as bits of bytes, the first ones lowest: uint8 `[..., n bits / 8]`. */
export function packBytes(ops: TensorflowOps, numbers: Handle, bits: number): Handle {
  const perByte = 8 / bits;
  if (perByte === 1) return ops.cast(numbers, 'uint8');
  const bytes = numbers.shape.at(-1)! / perByte;
  const places = ops.reshape(numbers, [...numbers.shape.slice(0, -1), bytes, perByte]);
  const weights = ops.floats(Array.from({length: perByte}, (_, i) => 2 ** (bits * i)));
  return ops.cast(ops.sum(ops.mul(places, weights), -1), 'uint8');
}

/** The numbers of `bits` bits in bytes, the lowest first: uint8 `[..., n]` as uint8 `[..., 8 n / bits]`. */
export function unpackBytes(ops: TensorflowOps, bytes: Handle, bits: number): Handle {
  if (bits === 8) return bytes;
  const rows = bytes.shape.slice(0, -1);
  const count = bytes.shape.at(-1)!;
  if (bits === 4) {
    // ...hhhhllll as 0000hhhh0000llll, whose bytes are the two numbers
    const wide = ops.cast(bytes, 'uint16');
    const spread = ops.and(ops.or(wide, ops.shiftLeft(wide, 4)), 0x0f0f);
    return ops.reshape(ops.bitcast(spread, 'uint8'), [...rows, 2 * count]);
  }
  // four numbers of 2 bits, or of the four lowest bits, to the bytes of a word
  const wide = ops.cast(bits === 2 ? bytes : unpackBytes(ops, bytes, 4), 'int32');
  const [two, four] = [ops.shiftLeft(wide, 8 - bits), 2 * (8 - bits)];
  const pairs = ops.or(wide, two);
  const spread = ops.and(ops.or(pairs, ops.shiftLeft(pairs, four)), bits === 2 ? 0x03030303 : 0x01010101);
  return ops.reshape(ops.bitcast(spread, 'uint8'), [...rows, (8 / bits) * count]);
}
