import type {AttentionKernel} from '../../layers/index.js';
import type {DenseWeights} from './adapter.js';

/** The weights of a layer whose four projections are variables of their own, read one after the other. */
export async function denseWeights(
  kernelOf: (projection: AttentionKernel) => Promise<Float32Array>,
  biasOf: (projection: AttentionKernel) => Promise<Float32Array | undefined>,
): Promise<DenseWeights> {
  return {
    query: await kernelOf('query'),
    key: await kernelOf('key'),
    value: await kernelOf('value'),
    output: await kernelOf('output'),
    queryBias: await biasOf('query'),
    keyBias: await biasOf('key'),
    valueBias: await biasOf('value'),
    outputBias: await biasOf('output'),
  };
}
