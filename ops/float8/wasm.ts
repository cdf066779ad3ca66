import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import {float8Formats, wordsOfRow} from '../encodings/float8.js';
import type {EncodeFloat8Options} from './types.js';

type Shape4 = [number, number, number, number];

export function float8ScalesWasm({x}: {x: tf.TensorInfo}, {format}: EncodeFloat8Options): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, tokens, dim] = x.shape as Shape4;
  const scales = heap.output([batch, heads, tokens, 1], 'float32');
  const {largest} = float8Formats[format];
  heap.kernels.float8Scales(heap.address(x), heap.address(scales), batch * heads * tokens, dim, largest);
  return scales;
}

export function float8CodesWasm(
  {x, scales}: {x: tf.TensorInfo; scales: tf.TensorInfo},
  {format}: EncodeFloat8Options,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, tokens, dim] = x.shape as Shape4;
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
