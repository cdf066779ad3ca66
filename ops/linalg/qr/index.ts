import * as tf from '@tensorflow/tfjs';
import {differentiable} from '../../differentiable.js';
import {defineOp, runOp} from '../../run_op.js';
import {asStack, unstack} from '../stacks.js';
import {qrGradient} from './gradient.js';
import {qrReference} from './reference.js';
import './tensorflow.js';
import {qrWasm} from './wasm.js';
import {qrWebgpu} from './webgpu.js';

/** `x = q r`: `q` is `[..., m, min(m, n)]` and `r` `[..., min(m, n), n]`. */
export type Qr<T extends tf.Tensor = tf.Tensor> = {q: T; r: T};

/**
 * QR decomposition: `x = q r` with orthonormal columns of q, and r upper triangular with a diagonal that is not negative, which makes both
 * unique if the first min(m, n) columns are independent. (`tf.linalg.qr` fails for stacks of matrices that are not square, and has no
 * gradient.)
 *
 * Householder reflections (Golub and Van Loan, Matrix Computations, 5.2), on wasm, tensorflow, cpu and webgl in float64, with results rounded to
 * float32; on webgpu in float32, for min(m, n) to 1,024 and max(m, n) to 8,192. A matrix with a number that is not finite gives NaN throughout, and the others of its stack are computed.
 *
 * Differentiable in x where the first min(m, n) columns are independent (Roberts and Roberts, 2020, arXiv 2009.10071).
 *
 * @param x float32 `[..., m, n]`.
 * @throws InvalidArgumentError if x is not a stack of float32 matrices, or is empty; BackendError on webgpu for larger ones.
 */
export function qr<T extends tf.Tensor>(x: T): Qr<T> {
  return tf.tidy(() => {
    const stack = asStack('qr', x);
    const [n, rows, columns] = stack.shape;
    const factors = packedQr(stack);
    const count = factors.shape[1];
    return {
      q: unstack<T>(tf.transpose(tf.slice(factors, [0, 0, 0], [n, count, rows]), [0, 2, 1]), x),
      r: unstack<T>(tf.slice(factors, [0, 0, rows], [n, count, columns]), x),
    };
  });
}

/** One output, as ops must have: `[n, min(rows, columns), rows + columns]`, each row a column of Q and a row of R. */
export const qrOp = defineOp({
  name: 'Qr',
  reference: qrReference,
  kernels: {wasm: qrWasm, webgpu: qrWebgpu},
});

function packedQr(x: tf.Tensor3D): tf.Tensor3D {
  const factors = runOp(qrOp, {x}, {});
  return differentiable(
    [x],
    [x, factors],
    () => tf.reshape(factors, factors.shape),
    (dy, saved) => qrGradient(dy, saved[0], saved[1]),
  );
}
