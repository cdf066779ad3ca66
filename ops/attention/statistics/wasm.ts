import * as tf from '@tensorflow/tfjs';
import {rebuildingOf} from '../attend/stored_keys.js';
import {noOldest, oldestVisible} from '../attend/visibility.js';
import {wasmHeap} from '../../backends/wasm_heap.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import {describeEncoding} from '../../encodings/wasm.js';
import type {KernelInputs} from '../../run_op.js';
import {evenRanges, partsOf, scratchOfThreads} from '../../threads/index.js';
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
  const rebuilding = rebuildingOf(inputs, attributes);
  const descriptor = heap.words(
    describeEncoding(heap, keys, inputs.keyData, inputs.keyParams, rebuilding, inputs.bias),
  );
  const queryRows = (heads / kvHeads) * queryTokens;
  const work = batch * kvHeads * queryRows * tokens * keys.dim;
  const [result] = heap.outputs([[batch, kvHeads, tokens]], ([out]) => {
    const [queries, logSum, to] = [inputs.queries, inputs.logSum, out!].map(heap.address);
    const rowBytes = (4 * tf.util.sizeFromShape(inputs.queries.shape)) / (batch * heads * queryTokens);
    heap.split(
      'attentionStatistics',
      evenRanges(batch * kvHeads, partsOf(heap, work, 2)).map(range => [
        queries! + range.from * queryRows * rowBytes,
        descriptor,
        logSum! + 4 * range.from * queryRows,
        to! + 4 * range.from * tokens,
        0,
        range.to - range.from,
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
        range.from,
      ]),
      scratchOfThreads(heap, heap.kernels.attentionStatisticsScratch(descriptor)),
    );
  });
  return result!;
}
