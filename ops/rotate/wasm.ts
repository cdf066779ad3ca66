import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import type {RotateAttributes, RotateInputs} from './reference.js';

export function rotateWasm(
  {x, cos, sin}: KernelInputs<RotateInputs>,
  {interleaved}: RotateAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, tokens, dim] = x.shape;
  const out = heap.output(x.shape, 'float32');
  heap.kernels.rotate(
    heap.address(x),
    heap.address(cos),
    heap.address(sin),
    heap.address(out),
    batch * heads,
    tokens,
    dim,
    cos.shape[1],
    interleaved ? 1 : 0,
  );
  return out;
}
