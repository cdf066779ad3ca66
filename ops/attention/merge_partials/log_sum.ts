import type * as tf from '@tensorflow/tfjs';
import type {Partial} from '../attend/types.js';
import {defineOp, runOp} from '../../run_op.js';
import {partialInputs, partialLogSumReference} from './reference.js';
import {partialLogSumWasm} from './wasm.js';
import {partialLogSumWebgpu} from './webgpu.js';

/**
 * The logarithm of the softmax denominator of each query, over the partials of disjoint runs of tokens:
 *
 *     logSum = m + ln sum_s e^{m_s - m} l_s        m = max_s m_s
 *
 * so that `exp(score - logSum)` is the final probability of a token. -Infinity for a query that saw no token at all.
 *
 * @param partials one or more float32 `[batch, heads, tokens, dimV + 2]` of equal shape.
 * @returns float32 `[batch, heads, tokens, 1]`.
 */
export function partialLogSum(partials: readonly Partial[]): tf.Tensor4D {
  return runOp(partialLogSumOp, partialInputs('partialLogSum', partials), {});
}

const partialLogSumOp = defineOp({
  name: 'PartialLogSum',
  reference: partialLogSumReference,
  kernels: {wasm: partialLogSumWasm, webgpu: partialLogSumWebgpu},
});
