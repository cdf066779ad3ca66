import type * as tf from '@tensorflow/tfjs';
import {
  blockScratchBytes,
  describeEncoding,
  descriptorBytes,
  integerScratchBytes,
  scoreScratchBytes,
  tileScratchBytes,
} from '../../backends/wasm_encodings.js';
import {wasmHeap, type WasmHeap} from '../../backends/wasm_heap.js';
import type {AttendAttributes, SegmentInputs} from './index.js';
import {rebuildingOf} from './stored_keys.js';

type Infos = {[Name in keyof SegmentInputs]: tf.TensorInfo};
type SegmentInfos = {readonly inputs: Infos; readonly attributes: AttendAttributes};

/** `attend` fused on tfjs' heap: every stored byte is read once per call, tile by tile. */
export function attendWasm(
  inputs: Infos & {queries: tf.TensorInfo},
  attributes: AttendAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const {queries} = inputs;
  const [batch, heads, queryTokens] = queries.shape as [number, number, number];
  const partial = heap.output([batch, heads, queryTokens, attributes.values.dim + 2], 'float32');
  const work = heap.scratch(attendWorkBytes(queries, {inputs, attributes}));
  attendInto(heap.address(partial), heap, queries, {inputs, attributes}, work);
  return partial;
}

/** Bytes of scratch memory that `attendInto` works in. */
export function attendWorkBytes(queries: tf.TensorInfo, {inputs, attributes}: SegmentInfos): number {
  const {keys, values} = attributes;
  const dim = queries.shape[3]!;
  const tileBytes = tileScratchBytes(keys, rebuildingOf(inputs, attributes)) + tileScratchBytes(values);
  const workBytes = scoreScratchBytes(dim, 8) + integerScratchBytes(dim) + blockScratchBytes(dim, values.dim);
  return 2 * descriptorBytes + tileBytes + workBytes;
}

/** Writes the partial of one segment to an address. */
export function attendInto(
  partial: number,
  heap: WasmHeap,
  queries: tf.TensorInfo,
  {inputs, attributes}: SegmentInfos,
  work: number,
): void {
  const {tokens, scale, firstQuery, keys, values} = attributes;
  const [batch, heads, queryTokens] = queries.shape as [number, number, number];
  const kvHeads = inputs.keyData.shape[1]!;
  const valueAddress = work + descriptorBytes;
  const rebuilding = rebuildingOf(inputs, attributes);
  heap.store(work, describeEncoding(heap, keys, inputs.keyData, inputs.keyParams, rebuilding));
  heap.store(valueAddress, describeEncoding(heap, values, inputs.valueData, inputs.valueParams));
  heap.kernels.attend(
    heap.address(queries),
    work,
    valueAddress,
    partial,
    valueAddress + descriptorBytes,
    batch * kvHeads,
    heads / kvHeads,
    queryTokens,
    tokens,
    firstQuery === undefined ? 0 : 1,
    firstQuery ?? 0,
    scale,
  );
}
