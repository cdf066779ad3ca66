import type * as tf from '@tensorflow/tfjs';
import {differentiable} from '../differentiable.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {defineOp, runOp} from '../run_op.js';
import {hadamardReference} from './reference.js';
import {hadamardWasm} from './wasm.js';
import {hadamardWebgpu} from './webgpu.js';

/**
 * The orthonormal Hadamard transform of the last axis, `y = x H / sqrt(block)`, with H of Sylvester's order. `block` is the
 * largest power of two that divides the axis; if that is not all of it, each run of `block` channels is transformed by
 * itself. Symmetric and its own inverse, so scores of transformed queries and keys are those of the plain ones, while
 * outlier channels are spread over all (QuaRot, Ashkboos et al., 2024, arXiv 2404.00456). Differentiable.
 *
 * Absolute error <= (block + 2) 2^-24 sum |x| / sqrt(block) over its block; a block's sum |x| must fit float32.
 *
 * @param x float32 `[..., dim]`.
 * @throws InvalidArgumentError if dim is odd: there is nothing to mix.
 */
export function hadamard<T extends tf.Tensor>(x: T): T {
  const block = hadamardBlock(x.shape.at(-1) ?? 0);
  if (block < 2) {
    throw new InvalidArgumentError(
      `x [${x.shape.join(', ')}] has no even last axis; a Hadamard transform needs one that a power of two divides.`,
    );
  }
  return differentiable(
    [x],
    [],
    () => runOp(hadamardOp, {x}, {block}),
    dy => hadamard(dy),
  ) as T;
}

/** How many channels one transform mixes: the largest power of two that divides dim. */
function hadamardBlock(dim: number): number {
  return dim & -dim;
}

const hadamardOp = defineOp({
  name: 'Hadamard',
  reference: hadamardReference,
  kernels: {wasm: hadamardWasm, webgpu: hadamardWebgpu},
});
