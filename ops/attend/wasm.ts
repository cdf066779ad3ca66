import type * as tf from '@tensorflow/tfjs';
import {describeForm, descriptorBytes} from '../backends/wasm_forms.js';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {AttendAttributes} from './index.js';

const tileTokens = 64;

type Inputs = {queries: tf.TensorInfo; keyData: tf.TensorInfo; valueData: tf.TensorInfo} & {
  keyParams?: tf.TensorInfo;
  valueParams?: tf.TensorInfo;
};

/** `attend` fused on tfjs' heap: every stored byte is read once per call, tile by tile. */
export function attendWasm(inputs: Inputs, attributes: AttendAttributes): tf.TensorInfo {
  const heap = wasmHeap()!;
  const {tokens, scale, firstQuery, keys, values} = attributes;
  const [batch, heads, queryTokens, dim] = inputs.queries.shape as [number, number, number, number];
  const kvHeads = inputs.keyData.shape[1]!;
  const partial = heap.output([batch, heads, queryTokens, values.dim + 2], 'float32');
  // descriptors, then one decoded tile of each side, the transposed key tile and the scores of four rows
  const tileFloats = tileTokens * (2 * (dim + 4) + values.dim + 4) + 8 * tileTokens;
  const scratch = heap.scratch(2 * descriptorBytes + 4 * tileFloats);
  const words = heap.words();
  const keyAddress = scratch;
  const valueAddress = scratch + descriptorBytes;
  words.set(describeForm(heap, keys, inputs.keyData, inputs.keyParams), keyAddress >>> 2);
  words.set(describeForm(heap, values, inputs.valueData, inputs.valueParams), valueAddress >>> 2);
  heap.kernels.attend(
    heap.address(inputs.queries),
    keyAddress,
    valueAddress,
    heap.address(partial),
    scratch + 2 * descriptorBytes,
    batch * kvHeads,
    heads / kvHeads,
    queryTokens,
    tokens,
    firstQuery === undefined ? 0 : 1,
    firstQuery ?? 0,
    scale,
  );
  return partial;
}
