import * as tf from '@tensorflow/tfjs';
import {differentiable} from '../differentiable.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {defineOp, runOp} from '../run_op.js';
import {linearReference} from './reference.js';
import {linearWasm} from './wasm.js';

/**
 * `x W + b` over the last axis of x, as one 2-D product: the only shape of product that is fast on wasm (XNNPACK packs each
 * right side once, so weights are stored as `[in, out]`). Differentiable. Absolute error <= (in + 2) 2^-24 times the
 * sum |x_i w_i| + |b|, if that fits float32.
 *
 * @param x float32 of any shape with consecutive rows of `in` numbers: `[..., in]`, or that reshaped.
 * @param kernel float32 `[in, out]`.
 * @param options.bias float32 `[out]`. Default: none.
 * @param options.shape shape of the result, with the same number of elements. Default: that of x, with `out` as its last axis.
 * @throws InvalidArgumentError if x does not consist of rows of `in` numbers.
 */
export function linear(
  x: tf.Tensor,
  kernel: tf.Tensor,
  {bias, shape}: {bias?: tf.Tensor | undefined; shape?: readonly number[]} = {},
): tf.Tensor {
  const [inputs = 0, outputs = 0] = kernel.shape;
  const rows = x.size / inputs;
  if (kernel.rank !== 2 || !Number.isInteger(rows)) {
    throw new InvalidArgumentError(
      `x [${x.shape.join(', ')}] and kernel [${kernel.shape.join(', ')}] do not fit: expected a kernel [in, out] and rows of ` +
        '`in` numbers.',
    );
  }
  const wanted = shape ?? [...x.shape.slice(0, -1), outputs];
  if (bias === undefined) return product(x, kernel, wanted);
  return tf.reshape(tf.add(product(x, kernel, [rows, outputs]), bias), [...wanted]);
}

function product(x: tf.Tensor, kernel: tf.Tensor, shape: readonly number[]): tf.Tensor {
  return differentiable(
    [x, kernel],
    [x, kernel],
    () => runOp(linearOp, {x, kernel}, {shape}),
    linearGradient,
  );
}

function linearGradient(dy: tf.Tensor, [x, kernel]: readonly [tf.Tensor, tf.Tensor]): tf.Tensor[] {
  const [inputs = 0, outputs = 0] = kernel.shape;
  const rows = tf.reshape<tf.Rank.R2>(dy, [-1, outputs]);
  return [
    // tidied, or all transposed kernels of a model would stay until its last gradient is there; transposed first, as
    // matMul's own transposition is ten times slower on wasm
    tf.tidy(() => tf.reshape(tf.matMul(rows, tf.transpose(kernel)), x.shape)),
    tf.tidy(() => tf.matMul(tf.transpose(tf.reshape<tf.Rank.R2>(x, [-1, inputs])), rows)),
  ];
}

const linearOp = defineOp({
  name: 'Linear',
  reference: linearReference,
  kernels: {wasm: linearWasm},
});
