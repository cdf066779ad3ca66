import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Factory, atLeast, defineFactory} from '../../base/options.js';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {floatBasis} from '../../ops/encodings/decode.js';
import type {DenseEncoding, LowRankEncoding} from '../../ops/encodings/encoding.js';
import {updateSvd} from '../../ops/linalg/update_svd.js';
import type {PairCodec} from '../contract.js';
import {unrotateAt} from '../past/decode.js';
import type {Past, Segment} from '../past/past.js';
import {appendSegment, dense} from '../past/segments.js';
import {paying} from './pair.js';
import {checkRank, defaultRank} from './rank.js';

export interface OnlineSvdCodecOptions {
  /** Number of directions per head that are kept. Default: 32, or half the head's dim if that is less. */
  readonly rank?: number | null;
  /** Tokens that wait for one update of the factors. Default 16. */
  readonly updateFreq?: number;
}

export const onlineSvdEntries = {
  rank: v.optional(v.nullable(atLeast(1)), null),
  updateFreq: v.optional(atLeast(1), 16),
};

/**
 * Stores keys and values as a truncated singular value decomposition that grows with the text: `K ~ C B` with coefficients C
 * `[tokens, rank]` and an orthonormal basis B `[rank, dim]` per head. An incremental update (Brand, 2002; see `updateSvd`) changes
 * the factors without decoding old tokens. Keys are factored before their rotary embedding.
 *
 * `extras` holds the discarded energy of all updates (squared Frobenius error) and the total energy of all tokens, per head, so the
 * relative error so far is known: see `svdError`. An evicted token still counts in the singular values that rank the directions.
 */
export const onlineSvd: Factory<OnlineSvdCodecOptions, PairCodec> = defineFactory(
  'onlineSvd',
  onlineSvdEntries,
  options => {
    const {rank, updateFreq} = options;
    const ranked = (dim: number) => Math.min(rank ?? defaultRank(dim), dim);
    return {
      name: 'onlineSvd',
      options,
      blockTokens: 1,
      moveTokens: updateFreq,
      movesAll: true,
      rewrites: true,
      check: sizes => checkRank('onlineSvd: rank', rank ?? 1, sizes),
      firstTokens: ({dim, dimV}) => Math.max(...[dim, dimV].map(of => paying(of * ranked(of), of))),
      add(past, block, context) {
        const {held, extras = {}, events} = past;
        const {stored} = held;
        const {rope} = context;
        const unrotated = unrotateAt(block.keys.data, block.positions, {rope, tokensSeen: past.tokensSeen});
        const keys = updateSide(stored?.keys, unrotated, rank, sideOf(extras, 'key'));
        const values = updateSide(stored?.values, block.values.data, rank, sideOf(extras, 'value'));
        const brought =
          stored && keys.old && values.old ? {...stored, keys: keys.old, values: values.old} : undefined;
        const fresh = {...block, keys: keys.fresh, values: values.fresh};
        const joined = appendSegment(brought, fresh, context.expectedTokens);
        const updated: Segment = {
          ...joined,
          keys: {...(joined.keys as LowRankEncoding), basis: keys.fresh.basis, rotate: rope !== undefined},
          values: {...(joined.values as LowRankEncoding), basis: values.fresh.basis},
        };
        return {
          ...past,
          held: {...held, stored: updated},
          extras: {...extras, ...named(keys.extras, 'key'), ...named(values.extras, 'value')},
          events: {...events, svdUpdates: events.svdUpdates + 1},
        };
      },
    };
  },
);

/**
 * Returns the relative squared error of all keys or values stored so far, `sum(discarded) / sum(energy)` over all heads: a float32
 * scalar; undefined if nothing was stored.
 */
export function svdError(past: Past, side: 'key' | 'value'): tf.Tensor | undefined {
  const {discarded, energy} = sideOf(past.extras ?? {}, side);
  return discarded && energy && tf.divNoNan(tf.sum(discarded), tf.sum(energy));
}

type SideExtras = {squares?: tf.Tensor; discarded?: tf.Tensor; energy?: tf.Tensor};

/** Updates one side. `fresh` is the block in the new basis; `old` is what was stored before, expressed in the new basis. */
function updateSide(
  encoding: Segment['keys'] | undefined,
  x: tf.Tensor4D,
  rankLimit: number | null,
  extras: SideExtras,
) {
  const [batch, kvHeads, tokens, dim] = x.shape;
  const heads = batch * kvHeads;
  const block: tf.Tensor3D = tf.reshape(x, [heads, tokens, dim]);
  const before = encoding?.kind === 'lowRank' ? encoding : undefined;
  const spectrum = before && {
    basis: tf.reshape<tf.Rank.R3>(floatBasis(before.basis), [heads, before.rank, dim]),
    squares: extras.squares as tf.Tensor2D,
  };
  const rank = rankLimit ?? defaultRank(dim);
  const {basis, squares, rotation, coefficients, discarded} = updateSvd(spectrum, block, rank);
  const newRank = basis.shape[1];
  const lowRankOf = (latents: tf.Tensor3D): LowRankEncoding => ({
    kind: 'lowRank',
    dim,
    rank: newRank,
    latents: dense(tf.reshape(latents, [batch, kvHeads, latents.shape[1], newRank])),
    basis: tf.reshape(basis, [batch, kvHeads, newRank, dim]),
  });
  const former = before && (before.latents as DenseEncoding).data;
  return {
    fresh: lowRankOf(coefficients),
    old:
      former &&
      lowRankOf(
        batchedMatMul(tf.reshape<tf.Rank.R3>(former, [heads, former.shape[2], before.rank]), rotation),
      ),
    extras: {
      squares,
      discarded: extras.discarded ? tf.add(extras.discarded, discarded) : discarded,
      energy: tf.add(tf.sum(tf.square(block), [1, 2]), extras.energy ?? 0),
    },
  };
}

function sideOf(extras: Readonly<Record<string, tf.Tensor>>, name: 'key' | 'value'): SideExtras {
  const [squares, discarded, energy] = ['Squares', 'Discarded', 'Energy'].map(
    what => extras[`${name}${what}`],
  );
  return {squares, discarded, energy};
}

function named(extras: Required<SideExtras>, name: 'key' | 'value'): Record<string, tf.Tensor> {
  return {
    [`${name}Squares`]: extras.squares,
    [`${name}Discarded`]: extras.discarded,
    [`${name}Energy`]: extras.energy,
  };
}
