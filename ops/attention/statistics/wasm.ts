import type * as tf from '@tensorflow/tfjs';
import {rebuildingOf} from '../attend/stored_keys.js';
import {noOldest, oldestVisible} from '../attend/visibility.js';
import {wasmHeap} from '../../backends/wasm_heap.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import {describeEncoding} from '../../encodings/wasm.js';
import type {KernelInputs} from '../../run_op.js';
import type {AttentionStatisticsAttributes, AttentionStatisticsInputs} from './types.js';

/** `attentionStatistics` fused on tfjs' heap: every stored key is read once. */
export function attentionStatisticsWasm(
  inputs: KernelInputs<AttentionStatisticsInputs>,
  attributes: AttentionStatisticsAttributes,
): tf.TensorInfo {
  const heap = wasmHeap()!;
  const {tokens, scale, softCap, firstQuery, keys, statistic, threshold} = attributes;
  const [batch, heads, queryTokens] = inputs.queries.shape;
  const kvHeads = kvHeadsOf(attributes.keys, inputs.keyData);
  const out = heap.output([batch, kvHeads, tokens], 'float32');
  const rebuilding = rebuildingOf(inputs, attributes);
  const descriptor = heap.words(
    describeEncoding(heap, keys, inputs.keyData, inputs.keyParams, rebuilding, inputs.bias),
  );
  heap.kernels.attentionStatistics(
    heap.address(inputs.queries),
    descriptor,
    heap.address(inputs.logSum),
    heap.address(out),
    heap.scratch(heap.kernels.attentionStatisticsScratch(descriptor)),
    batch * kvHeads,
    heads / kvHeads,
    queryTokens,
    tokens,
    firstQuery === undefined ? 0 : 1,
    firstQuery ?? 0,
    scale,
    ['mass', 'uses', 'lastUse'].indexOf(statistic),
    threshold,
    oldestVisible(attributes) ?? noOldest,
    softCap ?? 0,
  );
  return out;
}
