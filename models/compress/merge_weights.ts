import type {KeyMode} from '../../layers/key_mode.js';
import type {DenseAttention, DenseWeights} from '../adapters/index.js';
import type {OrderedBasis} from './bases.js';
import type {DepthBases} from './depth_bases.js';

/** The weights of an `EigenAttention`, by the names of its variables. */
export type EigenWeights = Readonly<Record<string, Float32Array>>;

/**
 * Dense weights merged with bases of `keyRank` and `valueRank` directions, in float64:
 *
 *     W_v' = W_v E_v^T    W_o' = D_v W_o               per query head, with the basis of its key head
 *     W_k' = W_k E_k^T    W_q' = W_q D_k^T             mode `merged`; biases likewise
 *     W_k' = W_k E_k^T    key_basis = D_k              mode `before`
 *     key_encoder = E_k   query_encoder = D_k          mode `after`
 *     W_k, W_q as they are                             mode `whole`
 *
 * Subtracted means come back as the part that latents lose of them, m - m E^T D: means of values in the output's bias, means of
 * rebuilt keys in `key_mean`. In the other modes a vector that all keys share changes no attention.
 */
export function mergeWeights(
  {heads, kvHeads, headDim: dim}: Pick<DenseAttention, 'heads' | 'kvHeads' | 'headDim'>,
  weights: DenseWeights,
  {keys, values, keyMeans, valueMeans}: DepthBases,
  {mode, keyRank, valueRank}: {readonly mode: KeyMode; readonly keyRank: number; readonly valueRank: number},
): EigenWeights {
  const first = (side: readonly OrderedBasis[], rank: number, name: 'encode' | 'decode') =>
    side.map(basis => basis[name].subarray(0, rank * dim));
  const ofQueryHeads = <T>(ofKeyHeads: readonly T[]): T[] =>
    Array.from({length: heads}, (_, head) => ofKeyHeads[Math.floor((head * kvHeads) / heads)]!);
  const [keyEncode, keyDecode] = [first(keys, keyRank, 'encode'), first(keys, keyRank, 'decode')];
  const {query, key, value, output, queryBias, keyBias, valueBias, outputBias} = weights;
  const projected = (name: string, kernel: Float32Array, bias?: Float32Array, rows?: Float64Array[]) => ({
    [`${name}_kernel`]: rows ? byHeads(kernel, rows, dim) : kernel,
    ...(bias && {[`${name}_bias`]: rows ? byHeads(bias, rows, dim) : bias}),
  });
  const lost = valueMeans && outputOf(output, ofQueryHeads(lostMeans(valueMeans, values, valueRank)));
  const bias = lost ? lost.map((x, i) => x + (outputBias?.[i] ?? 0)) : outputBias;
  return {
    ...projected('query', query, queryBias, mode === 'merged' ? ofQueryHeads(keyDecode) : undefined),
    ...projected('key', key, keyBias, mode === 'merged' || mode === 'before' ? keyEncode : undefined),
    ...projected('value', value, valueBias, first(values, valueRank, 'encode')),
    output_kernel: joinedOutput(output, ofQueryHeads(first(values, valueRank, 'decode')), dim),
    ...(bias && {output_bias: Float32Array.from(bias)}),
    ...(mode === 'before' && {key_basis: joinedRows(keyDecode)}),
    ...(mode === 'before' && keyMeans && {key_mean: joinedRows(lostMeans(keyMeans, keys, keyRank))}),
    ...(mode === 'after' && {key_encoder: joinedRows(keyEncode), query_encoder: joinedRows(keyDecode)}),
  };
}

/** The outputs of each head, `[inputs, heads * dim]`, times its matrix `[rank, dim]` transposed: `[inputs, heads * rank]`. */
function byHeads(kernel: Float32Array, rows: readonly Float64Array[], dim: number): Float32Array {
  const heads = rows.length;
  const rank = rows[0]!.length / dim;
  const inputs = kernel.length / (heads * dim);
  const out = new Float32Array(inputs * heads * rank);
  for (let input = 0; input < inputs; input++) {
    for (const [head, matrix] of rows.entries()) {
      for (let r = 0; r < rank; r++) {
        let sum = 0;
        for (let i = 0; i < dim; i++) sum += kernel[(input * heads + head) * dim + i]! * matrix[r * dim + i]!;
        out[(input * heads + head) * rank + r] = sum;
      }
    }
  }
  return out;
}

/** D_v W_o per query head: `[heads * dim, outputs]` to `[heads * rank, outputs]`. */
function joinedOutput(output: Float32Array, rows: readonly Float64Array[], dim: number): Float32Array {
  const heads = rows.length;
  const rank = rows[0]!.length / dim;
  const outputs = output.length / (heads * dim);
  const out = new Float32Array(heads * rank * outputs);
  const sums = new Float64Array(outputs);
  for (const [head, matrix] of rows.entries()) {
    for (let r = 0; r < rank; r++) {
      sums.fill(0);
      for (let i = 0; i < dim; i++) {
        const factor = matrix[r * dim + i]!;
        const from = (head * dim + i) * outputs;
        for (let o = 0; o < outputs; o++) sums[o]! += factor * output[from + o]!;
      }
      out.set(sums, (head * rank + r) * outputs);
    }
  }
  return out;
}

/** The sum over heads of a vector `[dim]` times the head's output projection: `[outputs]`. */
function outputOf(output: Float32Array, vectors: readonly Float64Array[]): Float64Array {
  const dim = vectors[0]!.length;
  const outputs = output.length / (vectors.length * dim);
  const sums = new Float64Array(outputs);
  for (const [head, vector] of vectors.entries()) {
    for (let i = 0; i < dim; i++) {
      const from = (head * dim + i) * outputs;
      for (let o = 0; o < outputs; o++) sums[o]! += vector[i]! * output[from + o]!;
    }
  }
  return sums;
}

/** m - m E^T D per head. */
function lostMeans(
  means: readonly Float64Array[],
  bases: readonly OrderedBasis[],
  rank: number,
): Float64Array[] {
  return means.map((mean, head) => {
    const {encode, decode, dim} = bases[head]!;
    const lost = mean.slice();
    for (let r = 0; r < rank; r++) {
      let latent = 0;
      for (let i = 0; i < dim; i++) latent += mean[i]! * encode[r * dim + i]!;
      for (let i = 0; i < dim; i++) lost[i]! -= latent * decode[r * dim + i]!;
    }
    return lost;
  });
}

function joinedRows(rows: readonly Float64Array[]): Float32Array {
  return Float32Array.from(rows.flatMap(row => [...row]));
}
