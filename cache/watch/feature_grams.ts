import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {rotate} from '../../ops/rotate/index.js';
import {KeptSums} from './kept_sums.js';
import type {SeenTokens, Watcher} from './watched_cache.js';

/** Features of which a Gram matrix is computed. The rotated ones exist only in models with rotary positions. */
export type GramSide = 'queries' | 'keys' | 'values' | 'rotatedQueries' | 'rotatedKeys';

export interface FeatureGramsOptions {
  /** Which sides to watch. Default: all. */
  readonly sides?: readonly GramSide[];
}

const everySide: readonly GramSide[] = ['queries', 'keys', 'values', 'rotatedQueries', 'rotatedKeys'];

/**
 * Watches the features that a cache stores, and sums the Gram matrices of each key head over all tokens:
 *
 *     C_K = K^T K,   C_V = V^T V,   C_Q = sum over the query heads of its group of Q_j^T Q_j
 *
 * Each is float32 `[dim, dim]`, over all batches and texts seen. The eigenvalues of C_K are the squared singular values of K, for any
 * number of tokens. Calibration needs only these sums (Eigen Attention, arXiv 2408.05646).
 */
export class FeatureGrams implements Watcher {
  private readonly sums = new KeptSums();
  private readonly sides: readonly GramSide[];
  /** Tokens seen so far, summed over batches. */
  tokens = 0;
  /** Depths seen so far. */
  depths = 0;

  constructor({sides = everySide}: FeatureGramsOptions = {}) {
    this.sides = sides;
  }

  see(depth: number, fresh: SeenTokens): void {
    const [batch, kvHeads, tokens] = fresh.keys.shape;
    if (depth === 0) this.tokens += batch * tokens;
    this.depths = Math.max(this.depths, depth + 1);
    for (const side of this.sides) {
      const features = featuresOf(side, fresh);
      if (features === undefined) continue;
      const dim = features.shape[3];
      // query head h belongs to key head floor(h / group), so the heads of a group are adjacent
      const rows = tf.reshape<tf.Rank.R4>(features, [batch, kvHeads, -1, dim]);
      this.sums.add(nameOf(depth, side), tf.sum(batchedMatMul(rows, rows, {transposeA: true}), 0));
    }
  }

  /** Reads the Gram matrix of each key head, `[dim, dim]` row-major; undefined if this side was not seen. */
  async read(depth: number, side: GramSide): Promise<Float32Array[] | undefined> {
    const sum = await this.sums.read(nameOf(depth, side));
    if (sum === undefined) return undefined;
    const [kvHeads = 0, dim = 0] = sum.shape;
    const size = dim * dim;
    return Array.from({length: kvHeads}, (_, head) => sum.numbers.slice(head * size, (head + 1) * size));
  }

  /** Frees the sums. */
  dispose(): void {
    this.sums.dispose();
  }
}

const nameOf = (depth: number, side: GramSide) => `${depth}/${side}`;

function featuresOf(side: GramSide, {queries, keys, values, rotation}: SeenTokens): tf.Tensor4D | undefined {
  switch (side) {
    case 'queries':
      return queries;
    case 'keys':
      return keys;
    case 'values':
      return values;
    case 'rotatedQueries':
      return rotation && rotate(queries, rotation);
    case 'rotatedKeys':
      return rotation && rotate(keys, rotation);
  }
}
