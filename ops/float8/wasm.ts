import type * as tf from '@tensorflow/tfjs';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {Float8Layout} from '../encodings/encoding.js';
import {float8Formats} from './formats.js';
import type {DecodeFloat8Attributes, EncodeFloat8Options} from './index.js';

type Shape4 = [number, number, number, number];

/** A format's number in ops/assembly/float8.ts. */
const numberOf = (format: Float8Layout['format']): number => (format === 'e4m3' ? 0 : 1);

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
  const codes = heap.output([batch, heads, tokens, Math.ceil(dim / 4)], 'int32');
  heap.kernels.float8Codes(
    heap.address(x),
    heap.address(scales),
    heap.address(codes),
    batch * heads * tokens,
    dim,
    numberOf(format),
  );
  return codes;
}

export function decodeFloat8Wasm(
  {codes, scales}: {codes: tf.TensorInfo; scales: tf.TensorInfo},
  {dim, format, from, count}: DecodeFloat8Attributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, heads, rows] = codes.shape as Shape4;
  const out = heap.output([batch, heads, count, dim], 'float32');
  heap.kernels.decodeFloat8(
    heap.address(codes),
    heap.address(scales),
    heap.address(out),
    batch * heads,
    rows,
    from,
    count,
    dim,
    numberOf(format),
  );
  return out;
}
