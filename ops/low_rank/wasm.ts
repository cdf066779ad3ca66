import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {KernelInputs} from '../run_op.js';
import type {ExpandPartialInputs, ProjectInputs} from './reference.js';

export function projectWasm({x, basis}: KernelInputs<ProjectInputs>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, tokens, dim] = x.shape;
  const [, kvHeads, rank] = basis.shape;
  const out = heap.output([batch, heads, tokens, rank], 'float32');
  heap.kernels.project(
    heap.address(x),
    heap.address(basis),
    heap.address(out),
    batch * kvHeads,
    (heads / kvHeads) * tokens,
    dim,
    rank,
  );
  return out;
}

export function expandPartialWasm(inputs: KernelInputs<ExpandPartialInputs>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const {partial, basis, mean, shift} = inputs;
  const [batch, heads, tokens, columns] = partial.shape;
  const inner = columns - 2;
  const dim = basis?.shape[3] ?? inner;
  const kvHeads = (basis ?? mean)?.shape[1] ?? heads;
  const out = heap.output([batch, heads, tokens, dim + 2], 'float32');
  const addressOf = (tensor: tf.TensorInfo | undefined) => (tensor === undefined ? 0 : heap.address(tensor));
  heap.kernels.expandPartial(
    heap.address(partial),
    addressOf(basis),
    addressOf(mean),
    addressOf(shift),
    heap.address(out),
    batch * kvHeads,
    (heads / kvHeads) * tokens,
    inner,
    dim,
    1,
  );
  return out;
}
