import {util, type TensorInfo} from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import type {KernelInputs} from '../../run_op.js';
import type {GradientAttributes, GradientInputs} from './reference.js';

export function causalGradientWasm(
  inputs: KernelInputs<GradientInputs>,
  {scale, window, softCap}: GradientAttributes,
): TensorInfo {
  const heap = wasmHeap()!;
  const {queries, keys, values, output, logSums, dy, bias} = inputs;
  const [batch, heads, tokens, dim] = queries.shape;
  const [, kvHeads, , dimV] = values.shape;
  const sizes = [queries, keys, values].map(({shape}) => util.sizeFromShape(shape));
  const gradients = heap.output([sizes.reduce((a, b) => a + b)], 'float32');
  heap.kernels.causalGradient(
    heap.address(queries),
    heap.address(keys),
    heap.address(values),
    heap.address(output),
    heap.address(dy),
    heap.address(logSums),
    heap.address(gradients),
    heap.scratch(heap.kernels.causalGradientScratch(dim, dimV)),
    batch * kvHeads,
    heads / kvHeads,
    tokens,
    dim,
    dimV,
    scale,
    bias === undefined ? 0 : heap.address(bias),
    Math.min(window ?? tokens, tokens),
    softCap ?? 0,
  );
  return gradients;
}
