import * as tf from '@tensorflow/tfjs';
import {differentiable} from '../differentiable.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {defineOp, runOp} from '../run_op.js';
import {swigluReference} from './reference.js';
import {swigluWasm} from './wasm.js';

/**
 * The gate of SwiGLU (Shazeer, 2020, arXiv 2002.05202): `silu(gate) up`, `silu(x) = x / (1 + e^-x)`, number by number.
 * Differentiable in both. Absolute error <= 2^-21 |gate up|, if neither silu(gate) nor the result is subnormal or overflows.
 *
 * @param gate, up float32 of the same shape.
 * @throws InvalidArgumentError if the shapes differ.
 */
export function swiglu(gate: tf.Tensor, up: tf.Tensor): tf.Tensor {
  if (gate.shape.join() !== up.shape.join()) {
    throw new InvalidArgumentError(
      `gate [${gate.shape.join(', ')}] and up [${up.shape.join(', ')}] differ; both must have the same shape.`,
    );
  }
  return differentiable(
    [gate, up],
    [gate, up],
    () => runOp(swigluOp, {gate, up}, {}),
    (dy, saved) => swigluGradient(dy, saved[0], saved[1]),
  );
}

/** silu'(x) = s + x s (1 - s), s the sigmoid of x. */
function swigluGradient(dy: tf.Tensor, gate: tf.Tensor, up: tf.Tensor): tf.Tensor[] {
  const sigmoid = tf.sigmoid(gate);
  const silu = tf.mul(gate, sigmoid);
  const slope = tf.add(sigmoid, tf.mul(silu, tf.sub(1, sigmoid)));
  return [tf.mul(tf.mul(dy, up), slope), tf.mul(dy, silu)];
}

export const swigluOp = defineOp<{gate: tf.Tensor; up: tf.Tensor}, object>({
  name: 'Swiglu',
  reference: swigluReference,
  kernels: {wasm: swigluWasm},
});
