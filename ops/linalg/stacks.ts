import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {isTensor, tensorShown} from '../tensor_shown.js';

/** What a stack of matrices has one row of numbers a matrix of: `[..., n]` of `[..., m, n]`. */
export type RowsOf<T extends tf.Tensor> = T extends tf.Tensor2D
  ? tf.Tensor1D
  : T extends tf.Tensor3D
    ? tf.Tensor2D
    : T extends tf.Tensor4D
      ? tf.Tensor3D
      : tf.Tensor;

/** What a stack of matrices has one number a matrix of: `[...]` of `[..., m, n]`. */
export type NumbersOf<T extends tf.Tensor> = T extends tf.Tensor2D
  ? tf.Scalar
  : T extends tf.Tensor3D
    ? tf.Tensor1D
    : T extends tf.Tensor4D
      ? tf.Tensor2D
      : tf.Tensor;

/**
 * Matrices with any leading axes as a stack `[n, rows, columns]`.
 * @throws InvalidArgumentError if x is not a tensor, or is disposed, has fewer than two axes or an axis of length 0, or is not float32.
 */
export function asStack(owner: string, x: tf.Tensor): tf.Tensor3D {
  if (!isTensor(x) || x.isDisposed || x.rank < 2 || x.size === 0 || x.dtype !== 'float32') {
    throw new InvalidArgumentError(
      `${owner} got ${tensorShown(x)}; it takes a tensor of float32 [..., rows, columns] with no axis of length 0.`,
    );
  }
  return tf.reshape<tf.Rank.R3>(x, [-1, ...x.shape.slice(-2)] as [number, number, number]);
}

/** The same with as many rows as columns. */
export function asSquareStack(owner: string, x: tf.Tensor): tf.Tensor3D {
  const stack = asStack(owner, x);
  if (stack.shape[1] !== stack.shape[2]) {
    throw new InvalidArgumentError(
      `${owner} got [${x.shape.join(', ')}]; it takes square matrices [..., dim, dim].`,
    );
  }
  return stack;
}

/** A result `[n, ...]` with the leading axes of what was given; T is what the caller knows of its type by that. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
export function unstack<T extends tf.Tensor>(result: tf.Tensor, given: tf.Tensor): T {
  return tf.reshape<tf.Rank>(result, [...given.shape.slice(0, -2), ...result.shape.slice(1)]) as T;
}
