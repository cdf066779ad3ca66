import type * as tf from '@tensorflow/tfjs';
import type {Partial} from '../attend/index.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {defineOp, runOp} from '../../run_op.js';
import {mergePartialsReference} from './reference.js';
import {mergePartialsWasm} from './wasm.js';
import {mergePartialsWebgpu} from './webgpu.js';

/**
 * Joins the partials of disjoint runs of tokens into the attention output, exactly (log-sum-exp):
 *
 *     m = max_s m_s     output = sum_s e^{m_s - m} o_s / sum_s e^{m_s - m} l_s
 *
 * Each number is right to 18 2^-24 of the sum of the magnitudes that it adds up (of seven partials or fewer).
 *
 * A query that saw no token at all gets zeros. FlashAttention's split over keys (arXiv 2205.14135; Flash-Decoding).
 *
 * @param partials one or more float32 `[batch, heads, tokens, dimV + 2]` of equal shape.
 * @returns float32 `[batch, heads, tokens, dimV]`.
 */
export function mergePartials(partials: readonly Partial[]): tf.Tensor4D {
  const [first] = partials;
  if (first === undefined)
    throw new InvalidArgumentError('mergePartials got no partial; it needs at least one.');
  for (const {shape} of partials) {
    if (shape.join() !== first.shape.join()) {
      throw new InvalidArgumentError(
        `mergePartials got shapes [${first.shape.join(', ')}] and [${shape.join(', ')}]; they must be equal.`,
      );
    }
  }
  const inputs = Object.fromEntries(partials.map((partial, index) => [`partial${index}`, partial]));
  return runOp(mergePartialsOp, inputs, {}) as tf.Tensor4D;
}

export const mergePartialsOp = defineOp<Record<string, tf.Tensor>, object>({
  name: 'MergePartials',
  reference: mergePartialsReference,
  kernels: {wasm: mergePartialsWasm, webgpu: mergePartialsWebgpu},
});
