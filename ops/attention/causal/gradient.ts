import * as tf from '@tensorflow/tfjs';
import {defineOp, runOp} from '../../run_op.js';
import {causalGradientReference, type GradientAttributes, type GradientInputs} from './reference.js';
import {causalGradientWasm} from './wasm.js';

/**
 * The gradient of causal attention by recomputation (FlashAttention, section 3.1):
 *
 *     P = exp(scale * Q K^T - logSum)    D = rowsum(dO * O)    dS = P * (dO V^T - D)
 *     dQ = scale * dS K                  dK = scale * dS^T Q   dV = P^T dO
 *
 * If scores are capped, dS has the factor `1 - (s / softCap)^2` of their capped products s as well.
 *
 * If scores are so large that float32 rounds them by a unit (10^7), P has an error of that size, but never exceeds 1; see
 * `attentionStatistics`. Otherwise the absolute error of each result is at most 2e-5 of the sum of its absolute terms.
 *
 * The wasm kernel works tile by tile: its memory beyond the result does not depend on the number of tokens.
 *
 * With a table of relative biases plain tfjs ops compute it, with a matrix of queries by tokens.
 *
 * @returns the gradients of queries, keys and values, and of the table if there is one, of their shapes.
 */
export function causalAttentionGradient(
  inputs: GradientInputs,
  {scale, window, softCap}: GradientAttributes,
): [queries: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, ...table: tf.Tensor[]] {
  const {queries, keys, values, table} = inputs;
  const attributes = {scale, window, softCap};
  const all =
    table === undefined
      ? runOp(causalGradientOp, inputs, attributes)
      : tf.tidy(() => causalGradientReference(inputs, attributes));
  const part = (like: tf.Tensor, from: number) => tf.reshape(tf.slice(all, [from], [like.size]), like.shape);
  const [ofKeys, ofValues] = [queries.size, queries.size + keys.size];
  const gradients = [part(queries, 0), part(keys, ofKeys), part(values, ofValues)] as const;
  return table === undefined ? [...gradients] : [...gradients, part(table, ofValues + values.size)];
}

/** The three gradients one after the other, float32 `[queries.size + keys.size + values.size]`: kernels have one result. */
const causalGradientOp = defineOp({
  name: 'CausalAttentionGradient',
  reference: causalGradientReference,
  kernels: {wasm: causalGradientWasm},
});
