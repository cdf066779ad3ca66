import * as tf from '@tensorflow/tfjs';
import {differentiable, recordsGradient} from '../differentiable.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {expectRank4} from '../encodings/encoding.js';
import {defineOp, runOp} from '../run_op.js';
import {type RotateAttributes, type RotateInputs, rotateBothReference} from './reference.js';
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
  checkRotation(x, rotation, 'x');
  const {cos, sin} = rotation;
  return differentiable(
    [x],
    [cos, sin],
    () => runOp(rotateOp, {x0: x, cos, sin}, attributesOf(rotation))[0]!,
    // the transpose of a rotation rotates back
    (dy, [savedCos, savedSin]) => rotate(dy, {...rotation, cos: savedCos, sin: tf.neg(savedSin)}),
  );
}

/** The queries and keys of the same tokens, rotated at the price of one call of tfjs: see `rotate`. */
export function rotateBoth(
  queries: tf.Tensor4D,
  keys: tf.Tensor4D,
  rotation: Rotation,
): [queries: tf.Tensor4D, keys: tf.Tensor4D] {
  if (recordsGradient()) return [rotate(queries, rotation), rotate(keys, rotation)];
  checkRotation(queries, rotation, 'queries');
  checkRotation(keys, rotation, 'keys');
  const {cos, sin} = rotation;
  const [first, second] = runOp(rotateOp, {x0: queries, x1: keys, cos, sin}, attributesOf(rotation));
  return [first!, second!];
}

function checkRotation(x: tf.Tensor4D, {cos, sin}: Rotation, name: string): void {
  expectRank4(x, name);
  const [tokens, pairs] = cos.shape;
  if (tokens === x.shape[2] && 2 * pairs <= x.shape[3] && sin.shape.join() === cos.shape.join()) return;
  throw new InvalidArgumentError(
    `A rotation of ${tokens} tokens and ${pairs} pairs does not fit ${name} [${x.shape.join(', ')}]: tokens must be equal and ` +
      'the pairs at most half of dim.',
  );
}

const attributesOf = ({interleaved = false}: Rotation) => ({interleaved});

const rotateOp = defineOp<RotateInputs, RotateAttributes, tf.Tensor4D[]>({
  name: 'Rotate',
  reference: rotateBothReference,
  kernels: {wasm: rotateWasm, webgpu: rotateWebgpu},
});
