import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {groupsOfRow, tokensOfGroup, wordsOfRow} from '../encodings/integer.js';
import type {KernelInputs} from '../run_op.js';
import type {QuantizeOptions} from './reference.js';

export function groupParametersWasm(
  {x}: KernelInputs<{x: tf.Tensor4D}>,
  options: QuantizeOptions,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, tokens, dim] = x.shape;
  const {bits, groupAxis, groupSize, symmetric} = options;
  const shape = [batch, heads, tokens / tokensOfGroup(options), groupsOfRow(options)];
  const params = heap.output(shape, 'int32');
  heap.kernels.groupParameters(
    heap.address(x),
    heap.address(params),
    batch * heads,
    tokens,
    dim,
    bits,
    groupAxis === 'token' ? 1 : 0,
    groupSize,
    symmetric ? 1 : 0,
  );
  return params;
}

export function packCodesWasm(
  {x, params}: KernelInputs<{x: tf.Tensor4D; params: tf.Tensor4D}>,
  options: QuantizeOptions,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, tokens, dim] = x.shape;
  const {bits, groupAxis, groupSize} = options;
  const codes = heap.output([batch, heads, tokens, wordsOfRow(options)], 'int32');
  heap.kernels.packCodes(
    heap.address(x),
    heap.address(params),
    heap.address(codes),
    batch * heads,
    tokens,
    dim,
    bits,
    groupAxis === 'token' ? 1 : 0,
    groupSize,
  );
  return codes;
}
