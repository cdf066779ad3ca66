import * as tf from '@tensorflow/tfjs';
import {differentiable} from '../differentiable.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {expectRank4} from '../encodings/encoding.js';
import {defineOp, runOp} from '../run_op.js';
import {rotateReference} from './reference.js';
import {rotateWasm} from './wasm.js';
import {rotateWebgpu} from './webgpu.js';

/** Cosines and sines for a run of tokens, float32 `[tokens, rotated pairs]` each. */
export type Rotation = {
  readonly cos: tf.Tensor2D;
  readonly sin: tf.Tensor2D;
  /** Which channels make a pair: (i, i + pairs), as in safetensors from the hub, or (2i, 2i + 1). Default false. */
  readonly interleaved?: boolean;
};

/**
 * Rotary position embedding (Su et al., 2021, arXiv 2104.09864): each pair of channels (a, b) of token t is rotated by its
 * angle, (a, b) -> (a cos - b sin, b cos + a sin). Channels beyond the rotated pairs stay as they are. Differentiable.
 * Absolute error <= 2^-22 (|a cos| + |b sin|).
 *
 * @param x float32 `[batch, heads, tokens, dim]`, dim >= 2 * pairs.
 */
export function rotate(x: tf.Tensor4D, rotation: Rotation): tf.Tensor4D {
  expectRank4(x, 'x');
  const [tokens, pairs] = rotation.cos.shape;
  if (
    tokens !== x.shape[2] ||
    2 * pairs > x.shape[3] ||
    rotation.sin.shape.join() !== rotation.cos.shape.join()
  ) {
    throw new InvalidArgumentError(
      `A rotation of ${tokens} tokens and ${pairs} pairs does not fit [${x.shape.join(', ')}]: tokens must be equal and ` +
        'the pairs at most half of dim.',
    );
  }
  const attributes = {interleaved: rotation.interleaved ?? false};
  const {cos, sin} = rotation;
  return differentiable(
    [x],
    [cos, sin],
    () => runOp(rotateOp, {x, cos, sin}, attributes),
    // the transpose of a rotation rotates back
    (dy, [savedCos, savedSin]) => rotate(dy, {...rotation, cos: savedCos, sin: tf.neg(savedSin)}),
  );
}

const rotateOp = defineOp({
  name: 'Rotate',
  reference: rotateReference,
  kernels: {wasm: rotateWasm, webgpu: rotateWebgpu},
});
