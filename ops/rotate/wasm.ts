import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import type {RotateAttributes, RotateInputs} from './reference.js';

export function rotateWasm(
  {x0, x1, cos, sin}: KernelInputs<RotateInputs>,
  {interleaved}: RotateAttributes,
): tf.TensorInfo[] {
  const heap = wasmHeap()!;
  const [tokens, pairs] = cos.shape;
  const [cosines, sines] = [heap.address(cos), heap.address(sin)];
  const given = x1 === undefined ? [x0] : [x0, x1];
  return heap.outputs(
    given.map(({shape}) => shape),
    results => {
      for (let i = 0; i < given.length; i++) {
        const x = given[i]!;
        const [batch, heads, , dim] = x.shape;
        heap.kernels.rotate(
          heap.address(x),
          cosines,
          sines,
          heap.address(results[i]!),
          batch * heads,
          tokens,
          dim,
          pairs,
          interleaved ? 1 : 0,
        );
      }
    },
  );
}
