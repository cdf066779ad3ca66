import {bytesOfRows} from '../backends/tensorflow_bytes.js';
import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';

/**
 * Tokens `from .. from + count` of float8 codes: float32 `[batch, kvHeads, count, dim]`. A code of e5m2 is the upper half of a float16. One of
 * e4m3 is moved to where float16 has its bits, which makes the number 256 times smaller.
 */
export function decodeFloat8(
  ops: TensorflowOps,
  data: Handle,
  scales: Handle,
  {format, dim}: {readonly format: 'e4m3' | 'e5m2'; readonly dim: number},
  [from, count]: readonly [from: number, count: number],
): Handle {
  const bytes = ops.part(bytesOfRows(ops, ops.part(data, 2, from, count)), 3, 0, dim);
  const codes = ops.cast(bytes, 'uint16');
  const isE5m2 = format === 'e5m2';
  const bits = isE5m2 ? ops.shiftLeft(codes, 8) : bitsOfE4m3(ops, codes);
  const numbers = ops.cast(ops.bitcast(bits, 'float16'), 'float32');
  const own = ops.part(scales, 2, from, count);
  return ops.mul(numbers, isE5m2 ? own : ops.mul(own, 256));
}

function bitsOfE4m3(ops: TensorflowOps, codes: Handle): Handle {
  const sign = ops.shiftLeft(ops.and(codes, 0x80), 8);
  const magnitude = ops.and(codes, 0x7f);
  // 0x7f, a NaN, alone carries into the bit that makes an exponent of float16 that of its NaN
  const carry = ops.and(ops.add(magnitude, 1), 0x80);
  return ops.or(sign, ops.shiftLeft(ops.or(magnitude, carry), 7));
}
