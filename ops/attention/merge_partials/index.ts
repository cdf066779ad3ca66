import type * as tf from '@tensorflow/tfjs';
import type {Partial} from '../attend/types.js';
import {defineOp, runOp} from '../../run_op.js';
import {mergePartialsReference, partialInputs} from './reference.js';
import './tensorflow.js';
import {mergePartialsWasm} from './wasm.js';
import {mergePartialsWebgpu} from './webgpu.js';

/**
 * Joins the partials of disjoint runs of tokens into the attention output, exactly (log-sum-exp):
 *
 *     m = max_s m_s     output = sum_s e^{m_s - m} o_s / sum_s e^{m_s - m} l_s
 *
 * Absolute error <= 18 * 2^-24 * the sum of the absolute terms of each number, for seven partials or fewer.
 *
 * A query that saw no token at all gets zeros. FlashAttention's split over keys (arXiv 2205.14135; Flash-Decoding).
 *
 * @param partials one or more float32 `[batch, heads, tokens, dimV + 2]` of equal shape.
 * @returns float32 `[batch, heads, tokens, dimV]`.
 */
export function mergePartials(partials: readonly Partial[]): tf.Tensor4D {
  return runOp(mergePartialsOp, partialInputs('mergePartials', partials), {});
}

const mergePartialsOp = defineOp({
  name: 'MergePartials',
  reference: mergePartialsReference,
  kernels: {wasm: mergePartialsWasm, webgpu: mergePartialsWebgpu},
});
