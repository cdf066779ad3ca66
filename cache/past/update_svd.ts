import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import type {DenseEncoding, LowRankEncoding} from '../../ops/encodings/encoding.js';
import {updateSvd} from '../../ops/linalg/update_svd.js';
import {rotate} from '../../ops/rotate/index.js';
import {defaultRank} from '../../base/options.js';
import type {Past, Segment} from './past.js';
import {type SealContext, appendSegment, dense, firstTokens, paysFor, withoutOldest} from './segments.js';

/**
 * Folds the `tokens` oldest tokens of `recent` into the truncated singular value decomposition that the held segment
 * `old` is: factors only, never a reconstruction. Keys are folded as they were before their rotation. The discarded
 * energy of all folds (squared Frobenius error, per head) and the energy that came in are added up in `extras`, so that
 * the relative error so far is known exactly: see `updateSvd`. The first tokens wait until they pay for the basis.
 */
export function foldOldest(past: Past, tokens: number, rank: number | null, context: SealContext): Past {
  if (tokens <= 0) return past;
  const {recent, held, extras = {}, events} = past;
  const pays = ({dim}: DenseEncoding) => paysFor(tokens, dim, dim * Math.min(rank ?? defaultRank(dim), dim));
  if (held['old'] === undefined && !(pays(recent.keys) && pays(recent.values))) return past;
  const rotation = context.rope?.inverse(recent.positions, tokens);
  const freshKeys = firstTokens(recent.keys, tokens);
  const keys = foldSide(
    held['old']?.keys,
    rotation ? rotate(freshKeys, rotation) : freshKeys,
    rank,
    side(extras, 'key'),
  );
  const values = foldSide(
    held['old']?.values,
    firstTokens(recent.values, tokens),
    rank,
    side(extras, 'value'),
  );
  const fresh = {keys: keys.fresh, values: values.fresh, tokens, positions: recent.positions};
  const turned =
    held['old'] && keys.turned && values.turned
      ? {...held['old'], keys: keys.turned, values: values.turned}
      : undefined;
  const joined = appendSegment(turned, fresh, context.expectedTokens);
  const old: Segment = {
    ...joined,
    keys: {...(joined.keys as LowRankEncoding), basis: keys.fresh.basis, ...(rotation && {rotate: true})},
    values: {...(joined.values as LowRankEncoding), basis: values.fresh.basis},
  };
  return {
    ...past,
    held: {...held, old},
    recent: withoutOldest(recent, tokens),
    extras: {...extras, ...named(keys.extras, 'key'), ...named(values.extras, 'value')},
    events: {...events, folds: events.folds + 1},
  };
}

/** Relative squared error of the keys and values folded so far: discarded energy over energy, all heads together. */
export function foldError(past: Past, sideName: 'key' | 'value'): tf.Tensor | undefined {
  const {discarded, energy} = side(past.extras ?? {}, sideName);
  return discarded && energy && tf.divNoNan(tf.sum(discarded), tf.sum(energy));
}

type SideExtras = {squares?: tf.Tensor; discarded?: tf.Tensor; energy?: tf.Tensor};

function foldSide(
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
    basis: tf.reshape<tf.Rank.R3>(before.basis, [heads, before.rank, dim]),
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
  const old = before && (before.latents as DenseEncoding).data;
  return {
    fresh: lowRankOf(coefficients),
    turned:
      old &&
      lowRankOf(batchedMatMul(tf.reshape<tf.Rank.R3>(old, [heads, old.shape[2], before.rank]), rotation)),
    extras: {
      squares,
      discarded: extras.discarded ? tf.add(extras.discarded, discarded) : discarded,
      energy: tf.add(tf.sum(tf.square(block), [1, 2]), extras.energy ?? 0),
    },
  };
}

function side(extras: Readonly<Record<string, tf.Tensor>>, name: 'key' | 'value'): SideExtras {
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
