import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import type {LmHeadInputs} from './reference.js';

/** `lmHead` on tfjs' heap: the matrix is read once for up to 64 rows. */
export function lmHeadWasm({x, embedding}: KernelInputs<LmHeadInputs>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [vocab, dim] = embedding.shape;
  const leading = x.shape.slice(0, -1);
  const rows = tf.util.sizeFromShape(leading);
  const out = heap.output([...leading, vocab], 'float32');
  heap.kernels.multiplyTransposed(
    heap.address(x),
    heap.address(embedding),
    heap.address(out),
    rows,
    vocab,
    dim,
  );
  return out;
}
