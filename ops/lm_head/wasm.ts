import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';

/** `lmHead` on tfjs' heap: the matrix is read once for every 64 rows. */
export function lmHeadWasm({x, embedding}: {x: tf.TensorInfo; embedding: tf.TensorInfo}): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [rows, dim] = x.shape as [number, number];
  const [vocab] = embedding.shape as [number];
  const out = heap.output([rows, vocab], 'float32');
  heap.kernels.lmHead(heap.address(x), heap.address(embedding), heap.address(out), rows, vocab, dim);
  return out;
}
