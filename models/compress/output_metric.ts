import {multiply64, transpose64} from '../../ops/linalg/matrix64.js';
import type {DenseAttention, DenseWeights} from '../adapters/index.js';

/**
 * What a change of a key head's value changes of the layer's output: the sum over the group's query heads of W_O,j W_O,j^T,
 * `[dim, dim]`, with W_O `[heads * dim, model dim]`.
 */
export function outputMetric(
  {output}: Pick<DenseWeights, 'output'>,
  {heads, kvHeads, headDim: dim}: Pick<DenseAttention, 'heads' | 'kvHeads' | 'headDim'>,
  kvHead: number,
): Float64Array {
  const total = new Float64Array(dim * dim);
  const modelDim = output.length / (heads * dim);
  const group = heads / kvHeads;
  for (let j = 0; j < group; j++) {
    const first = (kvHead * group + j) * dim * modelDim;
    const rows = output.subarray(first, first + dim * modelDim);
    const gram = multiply64(rows, transpose64(rows, dim, modelDim), dim, modelDim, dim);
    gram.forEach((x, i) => (total[i]! += x));
  }
  return total;
}
