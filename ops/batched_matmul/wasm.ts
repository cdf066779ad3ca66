import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {evenRanges, partsOf, scratchOfThreads} from '../threads/index.js';
import type {BatchedMatMulAttributes} from './reference.js';

/** `batchedMatMul` on tfjs' heap. */
export function batchedMatMulWasm(
  {a, b}: {a: tf.TensorInfo; b: tf.TensorInfo},
  {transposeA, transposeB}: BatchedMatMulAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const leading = a.shape.slice(0, -2);
  const m = a.shape.at(transposeA ? -1 : -2)!;
  const k = a.shape.at(transposeA ? -2 : -1)!;
  const n = b.shape.at(transposeB ? -2 : -1)!;
  const [transposedA, transposedB] = [transposeA ? 1 : 0, transposeB ? 1 : 0];
  const count = tf.util.sizeFromShape(leading);
  const [result] = heap.outputs([[...leading, m, n]], ([out]) => {
    const [left, right, to] = [a, b, out!].map(heap.address) as [number, number, number];
    heap.split(
      'batchedMatMul',
      evenRanges(count, partsOf(heap, count * m * k * n, 2)).map(range => [
        left + 4 * range.from * m * k,
        right + 4 * range.from * k * n,
        to + 4 * range.from * m * n,
        0,
        range.to - range.from,
        m,
        k,
        n,
        transposedA,
        transposedB,
      ]),
      scratchOfThreads(heap, heap.kernels.batchedMatMulScratch(m, k, n, transposedA, transposedB)),
    );
  });
  return result!;
}
