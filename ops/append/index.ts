import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {expectRank4} from '../encodings/encoding.js';
import {runOp, type DirectOp} from '../run_op.js';
import {appendKernels} from './kernels.js';
import {appendReference, type AppendAttributes, type AppendInputs} from './reference.js';
import './tensorflow.js';

/**
 * Writes fresh rows after the first `at` rows of a buffer `[batch, heads, capacity, columns]`, in place if possible.
 *
 * If the backend writes in place (all but webgl) and the buffer has room, the cost is O(fresh rows) and **the same
 * tensor comes back**, so the owner of the old state still reads its first `at` rows unchanged. Spare rows belong to the first
 * writer: if rows from `at` on were written before (an old state is continued again, or two states share a buffer), the
 * buffer counts as full. A buffer without room is copied once into one of `capacity` rows. On webgl the result is a new tensor
 * of exactly `at` + fresh rows. int32 is exact wherever rows are written in place.
 *
 * @param buffer the buffer, or undefined if there is none yet (`at` is 0 then).
 * @param fresh float32 or int32 `[batch, heads, rows, columns]` of the buffer's dtype.
 * @param capacity rows to allocate if a new buffer is needed; at least `at` + fresh rows are.
 * @throws InvalidArgumentError if shapes or dtypes do not fit, or `at` lies beyond the buffer.
 */
export function append(
  buffer: tf.Tensor4D | undefined,
  fresh: tf.Tensor4D,
  at: number,
  capacity: number,
): tf.Tensor4D {
  checkAppend(buffer, fresh, at);
  return runOp(appendOp, {buffer, fresh}, {at, capacity});
}

const appendOp: DirectOp<AppendInputs, AppendAttributes, tf.Tensor4D> = {
  name: 'Append',
  reference: appendReference,
  directKernels: appendKernels,
};

function checkAppend(buffer: tf.Tensor4D | undefined, fresh: tf.Tensor4D, at: number): void {
  expectRank4(fresh, 'fresh');
  if (fresh.dtype !== 'float32' && fresh.dtype !== 'int32') {
    throw new InvalidArgumentError(`fresh rows are ${fresh.dtype}; expected float32 or int32.`);
  }
  const filled = buffer?.shape[2] ?? 0;
  if (!Number.isInteger(at) || at < 0 || at > filled) {
    throw new InvalidArgumentError(`at = ${at}; expected an integer from 0 to the buffer's ${filled} rows.`);
  }
  if (buffer === undefined) return;
  expectRank4(buffer, 'buffer');
  const fits = [0, 1, 3].every(axis => buffer.shape[axis] === fresh.shape[axis]);
  if (!fits || buffer.dtype !== fresh.dtype) {
    throw new InvalidArgumentError(
      `fresh rows ${fresh.dtype} [${fresh.shape.join(', ')}] do not fit the buffer ${buffer.dtype} ` +
        `[${buffer.shape.join(', ')}]: dtype, batch, heads and columns must be equal.`,
    );
  }
}
