import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {InfoOf, KernelInputs} from '../run_op.js';
import type {RotateAttributes, RotateInputs} from './reference.js';

export function rotateWasm(
  {x0, x1, cos, sin}: KernelInputs<RotateInputs>,
  {interleaved}: RotateAttributes,
): tf.TensorInfo[] {
  const heap = wasmHeap()!;
  const [tokens, pairs] = cos.shape;
  const [cosines, sines] = [heap.address(cos), heap.address(sin)];
  const rotated = (x: InfoOf<tf.Tensor4D>) => {
    const [batch, heads, , dim] = x.shape;
    const out = heap.output(x.shape, 'float32');
    heap.kernels.rotate(
      heap.address(x),
      cosines,
      sines,
      heap.address(out),
      batch * heads,
      tokens,
      dim,
      pairs,
      interleaved ? 1 : 0,
    );
    return out;
  };
  return x1 === undefined ? [rotated(x0)] : [rotated(x0), rotated(x1)];
}
