import * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import {evenRanges, partsOf} from '../threads/index.js';
import type {LmHeadInputs} from './reference.js';

/** `lmHead` on tfjs' heap: the matrix is read once for up to 64 rows. */
export function lmHeadWasm({x, embedding}: KernelInputs<LmHeadInputs>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [vocab, dim] = embedding.shape;
  const leading = x.shape.slice(0, -1);
  const rows = tf.util.sizeFromShape(leading);
  const [result] = heap.outputs([[...leading, vocab]], ([out]) => {
    const [from, matrix, to] = [x, embedding, out!].map(heap.address) as [number, number, number];
    const work = rows * vocab * dim;
    heap.split(
      'multiplyTransposed',
      rows === 1
        ? evenRanges(vocab, partsOf(heap, work, 2), 64).map(range => [
            from,
            matrix + 4 * range.from * dim,
            to + 4 * range.from,
            1,
            range.to - range.from,
            dim,
          ])
        : evenRanges(rows, partsOf(heap, work)).map(range => [
            from + 4 * range.from * dim,
            matrix,
            to + 4 * range.from * vocab,
            range.to - range.from,
            vocab,
            dim,
          ]),
    );
  });
  return result!;
}
