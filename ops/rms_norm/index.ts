import * as tf from '@tensorflow/tfjs';
import {differentiable} from '../differentiable.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {defineOp, runOp} from '../run_op.js';
import {inverseRms, rmsNormReference} from './reference.js';
import {rmsNormWasm} from './wasm.js';
import {rmsNormWebgpu} from './webgpu.js';

/**
 * Root mean square normalisation (Zhang and Sennrich, 2019, arXiv 1910.07467): `x / sqrt(mean(x^2) + epsilon) * gain` over
 * the last axis. Differentiable in x and gain.
 *
 * Relative error <= (dim + 8) 2^-24 for numbers up to 10^36: if squares would overflow float32, they are not taken of x
 * itself. Epsilon prevents a division by zero in rows of tiny numbers or zeros; it must be at least 1e-30.
 *
 * @param x float32 `[..., dim]`.
 * @param gain float32 `[dim]`.
 */
export function rmsNorm(x: tf.Tensor, gain: tf.Tensor, epsilon: number): tf.Tensor {
  const dim = x.shape.at(-1);
  if (gain.shape.length !== 1 || gain.shape[0] !== dim) {
    throw new InvalidArgumentError(
      `gain [${gain.shape.join(', ')}] does not fit x [${x.shape.join(', ')}]: expected [${dim ?? ''}].`,
    );
  }
  return differentiable(
    [x, gain],
    [x, gain],
    () => runOp(rmsNormOp, {x, gain}, {epsilon}),
    (dy, saved) => rmsNormGradient(dy, saved[0], saved[1], epsilon),
  );
}

function rmsNormGradient(dy: tf.Tensor, x: tf.Tensor, gain: tf.Tensor, epsilon: number): tf.Tensor[] {
  const factor = inverseRms(x, epsilon);
  const normalised = tf.mul(x, factor);
  const scaled = tf.mul(dy, gain);
  const along = tf.mean(tf.mul(scaled, normalised), -1, true); // what the normalisation takes away
  const dx = tf.mul(tf.sub(scaled, tf.mul(normalised, along)), factor);
  const dGain = tf.sum(tf.reshape(tf.mul(dy, normalised), [-1, gain.shape[0]]), 0);
  return [dx, dGain];
}

const rmsNormOp = defineOp<{x: tf.Tensor; gain: tf.Tensor}, {epsilon: number}>({
  name: 'RmsNorm',
  reference: rmsNormReference,
  kernels: {wasm: rmsNormWasm, webgpu: rmsNormWebgpu},
});
