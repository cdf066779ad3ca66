import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import type {KernelInputs} from '../../run_op.js';
import type {PartialInputs} from './reference.js';

/** `mergePartials` on tfjs' heap: each partial is read once. */
export const mergePartialsWasm = (inputs: KernelInputs<PartialInputs>): tf.TensorInfo =>
  join('mergePartials', inputs, dim => dim);

/** `partialLogSum` on tfjs' heap. */
export const partialLogSumWasm = (inputs: KernelInputs<PartialInputs>): tf.TensorInfo =>
  join('partialLogSum', inputs, () => 1);

function join(
  kernel: 'mergePartials' | 'partialLogSum',
  inputs: KernelInputs<PartialInputs>,
  columnsOf: (dim: number) => number,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const partials = Object.values(inputs);
  const [batch, heads, tokens, columns] = partials[0]!.shape;
  const dim = columns - 2;
  const output = heap.output([batch, heads, tokens, columnsOf(dim)], 'float32');
  const addresses = heap.words(partials.map(partial => heap.address(partial)));
  heap.kernels[kernel](addresses, partials.length, heap.address(output), batch * heads * tokens, dim);
  return output;
}
