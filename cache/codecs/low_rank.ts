import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {sharedBasis} from '../../ops/encodings/decode.js';
import type {Encoding, LowRankEncoding, TokenEncoding} from '../../ops/encodings/encoding.js';
import {hostNumbers} from '../../ops/host_numbers.js';
import {eigh} from '../../ops/linalg/eigh/index.js';
import {effectiveRank} from '../../ops/linalg/ranks.js';
import {svd} from '../../ops/linalg/svd/index.js';
import {project} from '../../ops/low_rank/index.js';
import type {Codec} from '../contract.js';
import {
  type Factory,
  type Spec,
  atLeast,
  defineFactory,
  flag,
  jsonOptions,
  probability,
} from '../../base/options.js';
import {latentsOption} from './latents.js';
import {checkRank, defaultRank} from './rank.js';

export interface LowRankOptions {
  /** Number of directions per head that are kept. Default: 32, or half the head's dim if that is less; with `energy`, the dim. */
  readonly rank?: number | null;
  /**
   * Keep the smallest rank (at most `rank`) whose directions hold this share of the sum of squares, 0 to 1, in every head of a text.
   * In a batch, texts that need fewer directions than others have zeros for the rest. Default: `rank` alone decides.
   */
  readonly energy?: number | null;
  /** Subtract the mean of the run's first tokens before the projection. Default false. */
  readonly center?: boolean;
  /** How the latents are stored: the name and options of `dense`, `integer` or `float8`. Default `{name: 'dense'}`. */
  readonly latents?: Spec;
}

const entries = {
  rank: v.optional(v.nullable(atLeast(1)), null),
  energy: v.optional(v.nullable(probability), null),
  center: v.optional(flag, false),
  latents: v.optional(latentsOption, {name: 'dense'}),
};

/**
 * Stores latents z of rank r in place of tokens x of dim d, per key head: `x ~ z B + mean`, `z = (x - mean) B^T`. B `[r, d]` are the
 * top right singular vectors of the run's first tokens, so that the squared error of those is the least possible (Eckart and Young,
 * 1936). Later tokens of the run are projected onto the same basis.
 *
 * Keys are encoded before their rotary embedding, which raises their rank (Eigen Attention, arXiv 2408.05646).
 */
export const lowRank: Factory<LowRankOptions, Codec> = defineFactory('lowRank', entries, checked => {
  const {latents, rank} = checked;
  const basisOf = (x: tf.Tensor4D, like: Encoding | undefined, decided?: ArrayLike<number>): Basis =>
    sharedBasis(like) ?? bestBasis(x, checked, decided);
  const projected = (x: tf.Tensor4D, {basis, mean}: Basis) => project(mean ? tf.sub(x, mean) : x, basis);
  return {
    name: 'lowRank',
    options: jsonOptions(checked),
    blockTokens: latents.blockTokens,
    unrotated: true,
    check: sizes => checkRank('lowRank: rank', rank ?? 1, sizes),
    sharedNumbers: dim => dim * (mostDirections(checked, dim) + (checked.center ? 1 : 0)),
    ...(checked.energy !== null && {decidedBy: (x: tf.Tensor4D) => directionsOf(x, checked.center).values}),
    encode(x, like, decided): LowRankEncoding {
      const shared = basisOf(x, like, decided);
      const {basis, mean} = shared;
      const former = like?.kind === 'lowRank' ? like.latents : undefined;
      return {
        kind: 'lowRank',
        dim: x.shape[3],
        rank: basis.shape[2],
        latents: latents.encode(projected(x, shared), former) as TokenEncoding,
        basis,
        mean,
      };
    },
    errorBound: x =>
      tf.tidy(() => {
        const shared = basisOf(x, undefined);
        const z = projected(x, shared);
        const rebuilt = tf.matMul(z, shared.basis);
        const truncated = tf.abs(tf.sub(shared.mean ? tf.sub(x, shared.mean) : x, rebuilt));
        // an error e of every latent changes an element by at most e times the 1-norm of a column of B, which is at most sqrt(rank)
        const moved = tf.mul(tf.max(latents.errorBound(z)), Math.sqrt(shared.basis.shape[2]));
        return tf.add(truncated, moved);
      }),
  };
});

interface Basis {
  readonly basis: tf.Tensor4D;
  readonly mean?: tf.Tensor4D;
}

function bestBasis(
  x: tf.Tensor4D,
  {rank, energy, center}: {rank: number | null; energy: number | null; center: boolean},
  decided: ArrayLike<number> | undefined,
): Basis {
  const [batch, kvHeads, , dim] = x.shape;
  const {mean, values, vectors} = directionsOf(x, center);
  const most = mostDirections({rank, energy}, dim);
  const squares = () => Float32Array.from(decided ?? hostNumbers(values));
  const ranks =
    energy === null
      ? [most]
      : ranksOfEnergy(squares(), [batch, kvHeads, dim], energy).map(of => Math.min(most, of));
  const kept = Math.max(...ranks);
  const directions: tf.Tensor4D = tf.reshape(tf.slice(vectors, [0, 0, 0], [-1, kept, -1]), [
    batch,
    kvHeads,
    kept,
    dim,
  ]);
  const alike = ranks.every(of => of === kept);
  const basis: tf.Tensor4D = alike ? directions : tf.mul(directions, ofRanks(ranks, kept));
  return mean ? {basis, mean} : {basis};
}

/** The right singular vectors of each head as rows, with the squares of their singular values `[batch * kvHeads, dim]`, up to a factor. */
function directionsOf(x: tf.Tensor4D, center: boolean) {
  const [batch, kvHeads, tokens, dim] = x.shape;
  const mean = center ? tf.mean<tf.Tensor4D>(x, 2, true) : undefined;
  const centred = tf.reshape<tf.Rank.R3>(mean ? tf.sub(x, mean) : x, [batch * kvHeads, tokens, dim]);
  // squares of huge numbers would overflow; scaling a whole head does not change its directions
  const scaled: tf.Tensor3D = tf.div(centred, tf.maximum(tf.max(tf.abs(centred), [1, 2], true), 2 ** -126));
  if (tokens > dim) return {mean, ...eigh(batchedMatMul(scaled, scaled, {transposeA: true}))};
  // few tokens lie in few directions, and squares would lose those below some thousandth of the largest; with zeros for the missing
  // tokens there are as many directions as channels
  const rows = tf.concat<tf.Tensor3D>([scaled, tf.zeros([batch * kvHeads, dim - tokens, dim])], 1);
  const {s, vt} = svd(rows);
  return {mean, values: tf.square(s), vectors: vt};
}

function mostDirections({rank, energy}: {rank: number | null; energy: number | null}, dim: number): number {
  return Math.min(rank ?? (energy === null ? defaultRank(dim) : dim), dim);
}

/**
 * The smallest rank (at least 1) for each text that keeps the share `energy` of the squares in all of its heads.
 * @param squares squared singular values, each head's descending.
 */
function ranksOfEnergy(
  squares: Float32Array,
  [batch, heads, dim]: readonly [batch: number, heads: number, dim: number],
  energy: number,
): number[] {
  const ranks = Array.from({length: batch * heads}, (_, head) =>
    effectiveRank(
      squares.slice(head * dim, (head + 1) * dim).map(square => Math.sqrt(Math.max(square, 0))),
      energy,
    ),
  );
  return Array.from({length: batch}, (_, text) =>
    Math.max(1, ...ranks.slice(text * heads, (text + 1) * heads)),
  );
}

/** 1 for directions within the rank of a text, 0 for those that only other texts need: float32 `[batch, 1, kept, 1]`. */
function ofRanks(ranks: readonly number[], kept: number): tf.Tensor4D {
  const used = ranks.flatMap(rank => Array.from({length: kept}, (_, i) => (i < rank ? 1 : 0)));
  return tf.tensor4d(used, [ranks.length, 1, kept, 1]);
}
