import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';

/** `mergePartials` on tfjs' heap: each partial is read once. */
export function mergePartialsWasm(inputs: Record<string, tf.TensorInfo>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const partials = Object.values(inputs);
  const [batch, heads, tokens, columns] = partials[0]!.shape as [number, number, number, number];
  const output = heap.output([batch, heads, tokens, columns - 2], 'float32');
  const addresses = heap.words(partials.map(partial => heap.address(partial)));
  heap.kernels.mergePartials(
    addresses,
    partials.length,
    heap.address(output),
    batch * heads * tokens,
    columns - 2,
  );
  return output;
}
