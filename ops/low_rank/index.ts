import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {expectRank4} from '../encodings/encoding.js';
import {defineOp, runOp} from '../run_op.js';
import {expandPartialReference, projectReference} from './reference.js';
import {expandPartialWasm, projectWasm} from './wasm.js';
import {expandPartialWebgpu, projectWebgpu} from './webgpu.js';

/**
 * Coefficients of vectors in a basis of each key head: `z = x basis^T`. With orthonormal rows of the basis, `z basis` is
 * the nearest point to x in their span: this encodes keys and values to latents, and projects queries. Each coefficient is
 * exact to (dim + 2) 2^-24 of its sum |x_i b_i|.
 *
 * @param x float32 `[batch, heads, tokens, dim]`; `heads` is a multiple of `kvHeads`, as in `attend`.
 * @param basis float32 `[batch, kvHeads, rank, dim]`.
 * @returns float32 `[batch, heads, tokens, rank]`.
 * @throws InvalidArgumentError if the shapes do not fit.
 */
export function project(x: tf.Tensor4D, basis: tf.Tensor4D): tf.Tensor4D {
  expectRank4(x, 'x');
  expectRank4(basis, 'basis');
  const [batch, heads, , dim] = x.shape;
  if (basis.shape[0] !== batch || heads % basis.shape[1] !== 0 || basis.shape[3] !== dim) {
    throw new InvalidArgumentError(
      `x [${x.shape.join(', ')}] and basis [${basis.shape.join(', ')}] do not fit: batch and dim must be equal and the ` +
        'heads of x a multiple of those of the basis.',
    );
  }
  return runOp(projectOp, {x, basis}, {});
}

/** What turns a partial over latents into the partial over the tokens themselves; all float32. */
export type Expansion = {
  /** `[batch, kvHeads, rank, dimV]`: the basis of the values. */
  readonly basis?: tf.Tensor4D;
  /** `[batch, kvHeads, 1, dimV]`: the mean of the values. */
  readonly mean?: tf.Tensor4D;
  /** `[batch, heads, tokens, 1]`: what the mean of the keys adds to every score of a query. */
  readonly shift?: tf.Tensor4D;
};

/**
 * The partial of attention over tokens `v = z basis + mean`, from the partial over their latents z: both are linear in the
 * weights: `[output, max, sum] -> [output basis + sum mean, max + shift, sum]`. The absolute error is at most (rank + 3) 2^-24
 * times the sum of the absolute terms of each output.
 *
 * @param partial float32 `[batch, heads, tokens, rank + 2]`: see `attend`.
 * @returns float32 `[batch, heads, tokens, dimV + 2]`; the same tensor if there is nothing to do.
 */
export function expandPartial(partial: tf.Tensor4D, expansion: Expansion): tf.Tensor4D {
  const {basis, mean, shift} = expansion;
  if (basis === undefined && mean === undefined && shift === undefined) return partial;
  return runOp(expandPartialOp, {partial, basis, mean, shift}, {});
}

const projectOp = defineOp({
  name: 'Project',
  reference: projectReference,
  kernels: {wasm: projectWasm, webgpu: projectWebgpu},
});

const expandPartialOp = defineOp({
  name: 'ExpandPartial',
  reference: expandPartialReference,
  kernels: {wasm: expandPartialWasm, webgpu: expandPartialWebgpu},
});
