import type * as tf from '@tensorflow/tfjs';
import {describeEncoding, descriptorBytes} from '../backends/wasm_encodings.js';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {DequantizeAttributes, QuantizeOptions} from './index.js';

type Shape4 = [number, number, number, number];

export function groupParametersWasm({x}: {x: tf.TensorInfo}, options: QuantizeOptions): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, tokens, dim] = x.shape as Shape4;
  const {bits, groupAxis, groupSize, symmetric} = options;
  const shape =
    groupAxis === 'channel'
      ? [batch, heads, tokens / groupSize, dim]
      : [batch, heads, tokens, Math.ceil(dim / groupSize)];
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
  {x, params}: {x: tf.TensorInfo; params: tf.TensorInfo},
  options: QuantizeOptions,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, tokens, dim] = x.shape as Shape4;
  const {bits, groupAxis, groupSize} = options;
  const codes = heap.output([batch, heads, tokens, Math.ceil((dim * bits) / 32)], 'int32');
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

export function dequantizeWasm(
  {codes, params}: {codes: tf.TensorInfo; params: tf.TensorInfo},
  attributes: DequantizeAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads] = codes.shape as Shape4;
  const {from, count, dim} = attributes;
  const out = heap.output([batch, heads, count, dim], 'float32');
  const descriptor = heap.scratch(descriptorBytes);
  heap.store(descriptor, describeEncoding(heap, {kind: 'integer', ...attributes}, codes, params));
  heap.kernels.dequantize(descriptor, batch * heads, from, count, heap.address(out));
  return out;
}
