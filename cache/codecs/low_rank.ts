import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import type {Encoding, LowRankEncoding, TokenEncoding} from '../../ops/encodings/encoding.js';
import {hostNumbers} from '../../ops/host_numbers.js';
import {eigh} from '../../ops/linalg/eigh/index.js';
import {effectiveRank} from '../../ops/linalg/ranks.js';
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
  /** Directions that are kept. Default: 32, or half of a head's numbers if that is less. */
  readonly rank?: number | null;
  /**
   * Keep the smallest rank, at most `rank`, with this share of the squares in every head of a text. In a batch, texts that need fewer
   * directions than their neighbours get zeros for the rest. Default: no such choice.
   */
  readonly energy?: number | null;
  /** Take the mean of the run's first tokens off before. Default false. */
  readonly center?: boolean;
  /** How latents are stored: the name and options of a codec of single numbers, so that low rank and 4 bits are one codec. Default dense. */
  readonly latents?: Spec;
}

const entries = {
  rank: v.optional(v.nullable(atLeast(1)), null),
  energy: v.optional(v.nullable(probability), null),
  center: v.optional(flag, false),
  latents: v.optional(latentsOption, {name: 'dense'}),
};

/**
 * Coefficients in the best basis of a run's first tokens: `x ~ z B + mean`, with B the top `rank` right singular vectors
 * of those tokens per key head, so that their squared error is the least possible (Eckart and Young, 1936). Later tokens
 * of the run are projected on the same basis.
 *
 * Keys are encoded before their rotation: rotary positions raise their rank (Eigen Attention, arXiv 2408.05646).
 */
export const lowRank: Factory<LowRankOptions, Codec> = defineFactory('lowRank', entries, checked => {
  const {latents, rank} = checked;
  const basisOf = (x: tf.Tensor4D, like: Encoding | undefined): Basis =>
    like?.kind === 'lowRank' ? like : bestBasis(x, checked);
  const projected = (x: tf.Tensor4D, {basis, mean}: Basis) => project(mean ? tf.sub(x, mean) : x, basis);
  return {
    name: 'lowRank',
    options: jsonOptions(checked),
    blockTokens: latents.blockTokens,
    unrotated: true,
    check: sizes => checkRank('lowRank: rank', rank ?? 1, sizes),
    sharedNumbers: dim => dim * (mostDirections(checked, dim) + (checked.center ? 1 : 0)),
    encode(x, like): LowRankEncoding {
      const shared = basisOf(x, like);
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
        // an error e of every latent moves an element by at most e times the 1-norm of a column of B, at most sqrt(rank)
        const moved = tf.mul(tf.max(latents.errorBound(z)), Math.sqrt(shared.basis.shape[2]));
        return tf.add(truncated, moved);
      }),
  };
});

type Basis = Pick<LowRankEncoding, 'basis' | 'mean'>;

function bestBasis(
  x: tf.Tensor4D,
  {rank, energy, center}: {rank: number | null; energy: number | null; center: boolean},
): Basis {
  const [batch, kvHeads, tokens, dim] = x.shape;
  const mean = center ? tf.mean<tf.Tensor4D>(x, 2, true) : undefined;
  const centred = tf.reshape<tf.Rank.R3>(mean ? tf.sub(x, mean) : x, [batch * kvHeads, tokens, dim]);
  // squares of huge numbers would overflow; a scale of the whole head changes no direction
  const scaled: tf.Tensor3D = tf.div(centred, tf.maximum(tf.max(tf.abs(centred), [1, 2], true), 2 ** -126));
  const {values, vectors} = eigh(batchedMatMul(scaled, scaled, {transposeA: true}));
  const most = mostDirections({rank, energy}, dim);
  const ranks = energy === null ? [most] : ranksOfEnergy(values, energy, batch).map(of => Math.min(most, of));
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

function mostDirections({rank, energy}: {rank: number | null; energy: number | null}, dim: number): number {
  return Math.min(rank ?? (energy === null ? defaultRank(dim) : dim), dim);
}

/** For each text the smallest rank, at least 1, that keeps a share of the squares in all of its heads; `squares` are `[n, dim]`. */
function ranksOfEnergy(squares: tf.Tensor2D, energy: number, batch: number): number[] {
  const [n, dim] = squares.shape;
  const numbers = hostNumbers(squares);
  const ranks = Array.from({length: n}, (_, head) =>
    effectiveRank(
      numbers.slice(head * dim, (head + 1) * dim).map(square => Math.sqrt(Math.max(square, 0))),
      energy,
    ),
  );
  const heads = n / batch;
  return Array.from({length: batch}, (_, text) =>
    Math.max(1, ...ranks.slice(text * heads, (text + 1) * heads)),
  );
}

/** 1 for directions within the rank of a text, 0 for those that only its neighbours need: `[batch, 1, kept, 1]`. */
function ofRanks(ranks: readonly number[], kept: number): tf.Tensor4D {
  const used = ranks.flatMap(rank => Array.from({length: kept}, (_, i) => (i < rank ? 1 : 0)));
  return tf.tensor4d(used, [ranks.length, 1, kept, 1]);
}
