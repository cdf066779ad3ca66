import type {AttentionCache} from '../../cache/attention_cache.js';
import type {FreshTokens} from '../../cache/past/fresh_tokens.js';
import * as tf from '@tensorflow/tfjs';
import {RopeTables} from '../../cache/past/rope_tables.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {rotate} from '../../ops/rotate/index.js';
import type {RopeMode} from '../../layers/index.js';
import type {OrderedBasis} from './bases.js';
import type {DepthBases} from './depth_bases.js';

/**
 * Shows what ranks would cost before anything is converted: stands between a model and its cache, and hands on keys and
 * values as they would come out of their latents, `x' = (x - m) E_r^T D_r + m`.
 */
export class TruncatedCache implements AttentionCache {
  private readonly projectors = new Map<string, tf.Tensor3D>();
  private ropes: RopeTables | undefined;

  constructor(
    private readonly cache: AttentionCache,
    private readonly bases: readonly DepthBases[],
    private readonly ropeMode: RopeMode,
    /** Ranks of the depths and sides that are truncated. */
    private readonly ranks: ReadonlyMap<number, {readonly keys?: number; readonly values?: number}>,
  ) {}

  get tokens(): number {
    return this.cache.tokens;
  }

  get beyondContext(): boolean {
    return this.cache.beyondContext ?? false;
  }

  attend(depth: number, fresh: FreshTokens): tf.Tensor4D {
    return tf.tidy(() => this.cache.attend(depth, this.truncated(depth, fresh)));
  }

  /** The same tokens with keys and values as they come out of their latents; inside the caller's tidy. */
  truncated(depth: number, fresh: FreshTokens): FreshTokens {
    const {keys: keyRank, values: valueRank} = this.ranks.get(depth) ?? {};
    const {values, valueMeans} = this.bases[depth] ?? {values: [], valueMeans: undefined};
    return {
      ...fresh,
      ...(keyRank !== undefined && {keys: this.truncatedKeys(depth, fresh, keyRank)}),
      ...(valueRank !== undefined && {
        values: projected(fresh.values, this.projector(`${depth}/v`, values, valueRank), valueMeans),
      }),
    };
  }

  dispose(): void {
    for (const matrix of this.projectors.values()) matrix.dispose();
    this.projectors.clear();
    this.ropes?.dispose();
    this.ropes = undefined;
  }

  private truncatedKeys(depth: number, {keys, rope}: FreshTokens, rank: number): tf.Tensor4D {
    const {keys: ofHeads, keyMeans} = this.bases[depth]!;
    const projector = this.projector(`${depth}/k`, ofHeads, rank);
    if (rope === undefined || this.ropeMode === 'before') return projected(keys, projector, keyMeans);
    const [, , tokens, dim] = keys.shape;
    const tables = (this.ropes ??= new RopeTables(rope, dim));
    const start = this.cache.tokens;
    const turned = rotate(keys, tables.rotation(start, tokens));
    return rotate(projected(turned, projector, keyMeans), tables.inverse(start, tokens));
  }

  /** E_r^T D_r of every key head, made once. */
  private projector(name: string, heads: readonly OrderedBasis[], rank: number): tf.Tensor3D {
    const known = this.projectors.get(name);
    if (known !== undefined) return known;
    const dim = heads[0]!.dim;
    const numbers = new Float32Array(heads.length * dim * dim);
    heads.forEach(({encode, decode}, head) => {
      for (let r = 0; r < rank; r++) {
        for (let i = 0; i < dim; i++) {
          for (let j = 0; j < dim; j++) {
            numbers[(head * dim + i) * dim + j]! += encode[r * dim + i]! * decode[r * dim + j]!;
          }
        }
      }
    });
    const made = tf.keep(tf.tensor3d(numbers, [heads.length, dim, dim]));
    this.projectors.set(name, made);
    return made;
  }
}

function projected(
  x: tf.Tensor4D,
  projector: tf.Tensor3D,
  means: readonly Float64Array[] | undefined,
): tf.Tensor4D {
  const [batch, kvHeads, , dim] = x.shape;
  const matrices: tf.Tensor4D = tf.tile(tf.expandDims<tf.Tensor4D>(projector, 0), [batch, 1, 1, 1]);
  if (means === undefined) return batchedMatMul(x, matrices);
  const mean: tf.Tensor4D = tf.tensor4d(Float32Array.from(means.flatMap(head => [...head])), [
    1,
    kvHeads,
    1,
    dim,
  ]);
  const centred: tf.Tensor4D = tf.sub(x, mean);
  return tf.add(batchedMatMul(centred, matrices), mean);
}
