import type * as tf from '@tensorflow/tfjs';
import {
  blockScratchBytes,
  describeForm,
  descriptorBytes,
  integerScratchBytes,
  scoreScratchBytes,
  tileScratchBytes,
} from '../backends/wasm_forms.js';
import {wasmHeap} from '../backends/wasm_heap.js';
import type {AttendAttributes, AttendInputs} from './index.js';
import {rebuildingOf} from './stored_keys.js';

type Infos = {[Name in keyof AttendInputs]: tf.TensorInfo};

/** `attend` fused on tfjs' heap: every stored byte is read once per call, tile by tile. */
export function attendWasm(inputs: Infos, attributes: AttendAttributes): tf.TensorInfo {
  const heap = wasmHeap()!;
  const {tokens, scale, firstQuery, keys, values} = attributes;
  const [batch, heads, queryTokens, dim] = inputs.queries.shape as [number, number, number, number];
  const kvHeads = inputs.keyData.shape[1]!;
  const partial = heap.output([batch, heads, queryTokens, values.dim + 2], 'float32');
  const rebuilding = rebuildingOf(inputs, attributes);
  const tileBytes = tileScratchBytes(keys, rebuilding) + tileScratchBytes(values);
  const workBytes = scoreScratchBytes(dim, 8) + integerScratchBytes(dim) + blockScratchBytes(dim, values.dim);
  const keyAddress = heap.scratch(2 * descriptorBytes + tileBytes + workBytes);
  const valueAddress = keyAddress + descriptorBytes;
  heap.store(keyAddress, describeForm(heap, keys, inputs.keyData, inputs.keyParams, rebuilding));
  heap.store(valueAddress, describeForm(heap, values, inputs.valueData, inputs.valueParams));
  heap.kernels.attend(
    heap.address(inputs.queries),
    keyAddress,
    valueAddress,
    heap.address(partial),
    valueAddress + descriptorBytes,
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
