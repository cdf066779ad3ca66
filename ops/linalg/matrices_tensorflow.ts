import type * as tf from '@tensorflow/tfjs';
import {type Handle, type TensorflowOps, tensorflowTensor} from '../backends/tensorflow_ops.js';

/**
 * A decomposition of each matrix of a stack by TensorFlow's ops in float64. TensorFlow's own answer to a number that is not
 * finite depends on the op (`SelfAdjointEigV2` does not even see those above the diagonal): here, as everywhere, that matrix gives NaN.
 *
 * @param x float32 `[n, rows, columns]`.
 * @param decompose gives float32 `[n, count, length]` of finite float64 matrices.
 */
export function matricesByTensorflow(
  x: tf.TensorInfo,
  decompose: (ops: TensorflowOps, matrices: Handle) => Handle,
): tf.TensorInfo {
  return tensorflowTensor(ops => {
    const given = ops.of(x);
    const isFinite = ops.all(ops.isFinite(given), [1, 2], true);
    const finite = ops.select(isFinite, given, ops.floats([0], [1, 1, 1]));
    return ops.select(isFinite, decompose(ops, asFloat64(ops, finite)), ops.floats([NaN], [1, 1, 1]));
  });
}

// `Cast` takes subnormal numbers of float32 for zeros. They are whole numbers of 2^-149, which their bits, as int32, tell: -2^31 is the sign's.
const [smallest, smallestNormal] = [2 ** -149, 2 ** -126];

/** Float32 as float64, subnormal numbers included. */
function asFloat64(ops: TensorflowOps, x: Handle): Handle {
  const tiny = ops.mul(signsMoved(ops, ops.cast(ops.bitcast(x, 'int32'), 'float64')), smallest);
  return ops.select(ops.equal(x, 0), tiny, ops.cast(x, 'float64'));
}

/** Float64 as float32, rounded, subnormal numbers included. */
export function asFloat32(ops: TensorflowOps, x: Handle): Handle {
  const bits = signsMoved(ops, ops.round(ops.mul(x, 1 / smallest)));
  const tiny = ops.bitcast(ops.cast(bits, 'int32'), 'float32');
  return ops.select(ops.less(ops.abs(x), smallestNormal), tiny, ops.cast(x, 'float32'));
}

/** Numbers whose sign is the uppermost of 32 bits as those that have one, and the other way round: float64. */
function signsMoved(ops: TensorflowOps, numbers: Handle): Handle {
  return ops.select(ops.less(numbers, 0), ops.sub(-(2 ** 31), numbers), numbers);
}

/** 1, or -1 where the leading component of a row is negative (see `leadingIndex`): float64 `[..., 1]` of float64 `[..., length]`. */
export function leadingSigns(ops: TensorflowOps, rows: Handle): Handle {
  const length = rows.shape.at(-1)!;
  const magnitudes = ops.abs(rows);
  const isLarge = ops.lessEqual(ops.mul(ops.max(magnitudes, -1, true), 0.99999), magnitudes);
  // of those that are large the first one, which alone has so many places behind it
  const behind = ops.mul(
    ops.cast(isLarge, 'float32'),
    ops.floats(Array.from({length}, (_, i) => length - i)),
  );
  const isLeading = ops.cast(ops.equal(behind, ops.max(behind, -1, true)), 'float64');
  return signsOf(ops, ops.sum(ops.mul(rows, isLeading), -1, true));
}

/** 1, or -1 where a number is negative: float64. */
export function signsOf(ops: TensorflowOps, numbers: Handle): Handle {
  return ops.sub(1, ops.mul(ops.cast(ops.less(numbers, 0), 'float64'), 2));
}
