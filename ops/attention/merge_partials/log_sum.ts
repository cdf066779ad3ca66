import * as tf from '@tensorflow/tfjs';
import type {Partial} from '../attend/index.js';
import {wasmHeap} from '../../backends/wasm_heap.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {defineOp, runOp} from '../../run_op.js';
import {partialLogSumWebgpu} from './webgpu.js';

/**
 * The logarithm of what the softmax of each query divides by, over the partials of disjoint runs of tokens:
 *
 *     logSum = m + ln sum_s e^{m_s - m} l_s        m = max_s m_s
 *
 * so that `exp(score - logSum)` is the final probability of a token. -Infinity for a query that saw no token at all.
 *
 * @param partials one or more float32 `[batch, heads, tokens, dimV + 2]` of equal shape.
 * @returns float32 `[batch, heads, tokens, 1]`.
 */
export function partialLogSum(partials: readonly Partial[]): tf.Tensor4D {
  const [first] = partials;
  if (first === undefined)
    throw new InvalidArgumentError('partialLogSum got no partial; it needs at least one.');
  for (const {shape} of partials) {
    if (shape.join() !== first.shape.join()) {
      throw new InvalidArgumentError(
        `partialLogSum got shapes [${first.shape.join(', ')}] and [${shape.join(', ')}]; they must be equal.`,
      );
    }
  }
  const inputs = Object.fromEntries(partials.map((partial, index) => [`partial${index}`, partial]));
  return runOp(partialLogSumOp, inputs, {}) as tf.Tensor4D;
}

export const partialLogSumOp = defineOp<Record<string, tf.Tensor>, object>({
  name: 'PartialLogSum',
  reference: partialLogSumReference,
  kernels: {wasm: partialLogSumWasm, webgpu: partialLogSumWebgpu},
});

function partialLogSumReference(inputs: Record<string, tf.Tensor>): tf.Tensor {
  const states = Object.values(inputs).map(partial => {
    const [, max, sum] = tf.split(partial, [partial.shape[3]! - 2, 1, 1], 3) as [
      tf.Tensor,
      tf.Tensor,
      tf.Tensor,
    ];
    return {max, sum};
  });
  const largest = states.map(({max}) => max).reduce((a, b) => tf.maximum(a, b));
  // where nothing was seen, -Infinity - (-Infinity) would be NaN: shift by 0 instead
  const shift = tf.where(tf.greater(largest, -Infinity), largest, tf.zerosLike(largest));
  const sum = tf.addN(states.map(state => tf.mul(state.sum, tf.exp(tf.sub(state.max, shift)))));
  return tf.add(shift, tf.log(sum));
}

function partialLogSumWasm(inputs: Record<string, tf.TensorInfo>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const partials = Object.values(inputs);
  const [batch, heads, tokens, columns] = partials[0]!.shape as [number, number, number, number];
  const output = heap.output([batch, heads, tokens, 1], 'float32');
  const addresses = heap.words(partials.map(partial => heap.address(partial)));
  heap.kernels.partialLogSum(
    addresses,
    partials.length,
    heap.address(output),
    batch * heads * tokens,
    columns - 2,
  );
  return output;
}
