import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';

/**
 * Tokens `from .. from + count` of float8 codes: float32 `[batch, kvHeads, count, dim]`.
 * @param numbers what each of the 256 codes stands for.
 */
export function decodeFloat8(
  ops: TensorflowOps,
  data: Handle,
  scales: Handle,
  numbers: Float32Array,
  [dim, from, count]: readonly [dim: number, from: number, count: number],
): Handle {
  const bytes = ops.part(ops.bytesOfRows(ops.part(data, 2, from, count)), 3, 0, dim);
  const decoded = ops.gather(ops.floats(numbers), ops.cast(bytes, 'int32'));
  return ops.mul(decoded, ops.part(scales, 2, from, count));
}
