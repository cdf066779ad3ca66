import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
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
  const scratch = heap.scratch(heap.kernels.batchedMatMulScratch(m, k, n, transposedA, transposedB));
  const out = heap.output([...leading, m, n], 'float32');
  const count = tf.util.sizeFromShape(leading);
  heap.kernels.batchedMatMul(
    heap.address(a),
    heap.address(b),
    heap.address(out),
    scratch,
    count,
    m,
    k,
    n,
    transposedA,
    transposedB,
  );
  return out;
}
