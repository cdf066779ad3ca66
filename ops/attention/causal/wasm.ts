import {util, type TensorInfo} from '@tensorflow/tfjs';
import {wasmHeap} from '../../backends/wasm_heap.js';
import type {KernelInputs} from '../../run_op.js';
import {evenRanges, partsOf, scratchOfThreads} from '../../threads/index.js';
import type {GradientAttributes, GradientInputs} from './reference.js';

export function causalGradientWasm(
  inputs: KernelInputs<GradientInputs>,
  {scale, window, softCap}: GradientAttributes,
): TensorInfo {
  const heap = wasmHeap()!;
  const {queries, keys, values, output, logSums, dy, bias} = inputs;
  const [batch, heads, tokens, dim] = queries.shape;
  const [, kvHeads, , dimV] = values.shape;
  const sizes = [queries, keys, values].map(({shape}) => util.sizeFromShape(shape));
  const [kvRows, group] = [batch * kvHeads, heads / kvHeads];
  const [result] = heap.outputs([[sizes.reduce((a, b) => a + b)]], ([gradients]) => {
    const [q, k, v, o, dO, sums] = [queries, keys, values, output, dy, logSums].map(heap.address) as Six;
    const dQ = heap.address(gradients!);
    const dK = dQ + 4 * sizes[0]!;
    const dV = dK + 4 * sizes[1]!;
    const biases = bias === undefined ? 0 : heap.address(bias);
    const work = (kvRows * group * tokens * tokens * (dim + dimV)) / 2;
    heap.split(
      'causalGradient',
      evenRanges(kvRows, partsOf(heap, work, kvRows)).map(({from, to}) => [
        q + 4 * from * group * tokens * dim,
        k + 4 * from * tokens * dim,
        v + 4 * from * tokens * dimV,
        o + 4 * from * group * tokens * dimV,
        dO + 4 * from * group * tokens * dimV,
        sums + 4 * from * group * tokens,
        dQ + 4 * from * group * tokens * dim,
        dK + 4 * from * tokens * dim,
        dV + 4 * from * tokens * dimV,
        0,
        to - from,
        group,
        tokens,
        dim,
        dimV,
        scale,
        biases === 0 ? 0 : biases + 4 * from * tokens,
        Math.min(window ?? tokens, tokens),
        softCap ?? 0,
      ]),
      scratchOfThreads(heap, heap.kernels.causalGradientScratch(dim, dimV)),
    );
  });
  return result!;
}

type Six = [number, number, number, number, number, number];
