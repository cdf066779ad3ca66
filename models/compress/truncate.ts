import type {FreshTokens} from '../../cache/past/fresh_tokens.js';
import * as tf from '@tensorflow/tfjs';
import {RopeTables} from '../../cache/past/rope_tables.js';
import type {RopeMode} from '../../layers/index.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {rotate} from '../../ops/rotate/index.js';
import {rotationFor} from '../../ops/rotate/rope.js';
import type {OrderedBasis} from './bases.js';
import type {DepthBases} from './depth_bases.js';

/**
 * The tokens of a text with keys and values as their latents give them back, `x' = (x - m) E_r^T D_r + m`: shows what ranks cost
 * before any weight is converted. Call it in a tidy.
 *
 * @param fresh one text from its first token on.
 * @param ranks of the sides to truncate. Default of each: the side stays exact.
 */
export function truncated(
  fresh: FreshTokens,
  {keys, values, keyMeans, valueMeans}: DepthBases,
  ropeMode: RopeMode,
  ranks: {readonly keys?: number; readonly values?: number},
): FreshTokens {
  return {
    ...fresh,
    keys:
      ranks.keys === undefined
        ? fresh.keys
        : truncatedKeys(fresh, ropeMode, projectionOf(keys, ranks.keys, keyMeans)),
    values:
      ranks.values === undefined
        ? fresh.values
        : projectionOf(values, ranks.values, valueMeans)(fresh.values),
  };
}

type Projection = (x: tf.Tensor4D) => tf.Tensor4D;

function truncatedKeys({keys, rope}: FreshTokens, ropeMode: RopeMode, project: Projection): tf.Tensor4D {
  if (rope === undefined || ropeMode === 'before') return project(keys);
  const [, , tokens, dim] = keys.shape;
  const rotated = rotate(keys, rotationFor(rope, dim, 0, tokens));
  return rotate(project(rotated), new RopeTables(rope, dim).inverse(0, tokens));
}

/** x `[1, kvHeads, tokens, dim]` to (x - m) E_r^T D_r + m, per key head. */
function projectionOf(
  heads: readonly OrderedBasis[],
  rank: number,
  means: readonly Float64Array[] | undefined,
): Projection {
  const [kvHeads, dim] = [heads.length, heads[0]!.dim];
  const stacked = (rows: readonly Float64Array[], count: number) =>
    tf.tensor4d(Float32Array.from(rows.flatMap(row => [...row])), [1, kvHeads, count, dim]);
  const first = (name: 'encode' | 'decode') =>
    stacked(
      heads.map(head => head[name].subarray(0, rank * dim)),
      rank,
    );
  const project = (x: tf.Tensor4D) =>
    batchedMatMul(batchedMatMul(x, first('encode'), {transposeB: true}), first('decode'));
  if (means === undefined) return project;
  const mean = stacked(means, 1);
  return x => tf.add(project(tf.sub(x, mean)), mean);
}
