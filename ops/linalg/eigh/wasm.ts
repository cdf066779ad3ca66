import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import type {KernelInputs} from '../../run_op.js';
import {evenRanges, partsOf, scratchOfThreads} from '../../threads/index.js';

/** `eigh` on tfjs' heap. */
export function eighWasm({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [count, dim] = x.shape;
  const [result] = heap.outputs([[count, dim + 1, dim]], ([out]) => {
    const [from, to] = [x, out!].map(heap.address);
    const parts = partsOf(heap, count * dim ** 3) === 1 ? 1 : Math.min(count, 64); // matrices take different numbers of sweeps
    heap.split(
      'eigh',
      evenRanges(count, parts).map(range => [
        from! + 4 * range.from * dim * dim,
        to! + 4 * range.from * (dim + 1) * dim,
        0,
        range.to - range.from,
        dim,
      ]),
      scratchOfThreads(heap, heap.kernels.eighScratch(dim)),
    );
  });
  return result!;
}
