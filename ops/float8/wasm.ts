import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {float8Formats, wordsOfRow} from '../encodings/float8.js';
import type {KernelInputs} from '../run_op.js';
import type {EncodeFloat8Options} from './reference.js';

export function float8ScalesWasm(
  {x}: KernelInputs<{x: tf.Tensor4D}>,
  {format}: EncodeFloat8Options,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, tokens, dim] = x.shape;
  const scales = heap.output([batch, heads, tokens, 1], 'float32');
  const {largest} = float8Formats[format];
  heap.kernels.float8Scales(heap.address(x), heap.address(scales), batch * heads * tokens, dim, largest);
  return scales;
}

export function float8CodesWasm(
  {x, scales}: KernelInputs<{x: tf.Tensor4D; scales: tf.Tensor4D}>,
  {format}: EncodeFloat8Options,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, tokens, dim] = x.shape;
  const codes = heap.output([batch, heads, tokens, wordsOfRow({dim})], 'int32');
  heap.kernels.float8Codes(
    heap.address(x),
    heap.address(scales),
    heap.address(codes),
    batch * heads * tokens,
    dim,
    float8Formats[format].wasm,
  );
  return codes;
}
