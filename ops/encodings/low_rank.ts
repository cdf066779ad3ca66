import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {atLeast} from '../../base/options.js';
import {type IntegerEncoding, integerKind} from './integer.js';
import type {EncodingKind} from './kind.js';
import {kvHeadsOf, tokenKindOf, tokenKinds, type TokenEncoding, type TokenLayout} from './token_kinds.js';

/**
 * Tokens as coefficients (latents) of a basis that all tokens of a head share: `x ~ latents . basis + mean`.
 *
 * `latents` is any token encoding, of dim `rank`; `basis` `[batch, kvHeads, rank, dim]` is float32, or integer codes of rows that all tokens
 * share; `mean` float32 `[batch, kvHeads, 1, dim]`. Attention runs in the latents' space (q . (z B) = (q B^T) . z) and never rebuilds tokens,
 * except if `rotate` says that these are keys stored before their rotary embedding: those are rebuilt and rotated at
 * their own positions, tile by tile (Eigen Attention, arXiv 2408.05646).
 *
 * Rotated keys have means of two kinds: `mean` is the same at each position, and `rotatedMean` is rotated to the position p of its
 * token: `x ~ latents . basis + mean + R_p rotatedMean`. Attention needs no rebuilt keys for it: see `meanAngles`.
 */
export interface LowRankEncoding {
  readonly kind: 'lowRank';
  readonly dim: number;
  readonly rank: number;
  readonly latents: TokenEncoding;
  readonly basis: Basis;
  readonly mean?: tf.Tensor4D;
  /** float32 `[batch, kvHeads, 1, dim]`. Default: zero. */
  readonly rotatedMean?: tf.Tensor4D;
  /** Whether these are keys stored before their rotation. Default false. */
  readonly rotate?: boolean;
}

/** `[batch, kvHeads, rank, dim]`: see `floatBasis`. */
export type Basis = tf.Tensor4D | IntegerEncoding;

export interface LowRankLayout {
  readonly kind: 'lowRank';
  readonly dim: number;
  readonly rank: number;
  readonly latents: TokenLayout;
  /** Of the codes of the basis; null if it is float32. */
  readonly basis: ReturnType<typeof integerKind.layout> | null;
  /** Whether there is one. */
  readonly mean: boolean;
  /** Whether there is one. */
  readonly rotatedMean: boolean;
  readonly rotate: boolean;
}

export const lowRankKind: EncodingKind<LowRankEncoding, LowRankLayout> = {
  kind: 'lowRank',
  schema: v.strictObject({
    kind: v.literal('lowRank'),
    dim: atLeast(1),
    rank: atLeast(1),
    latents: v.variant(
      'kind',
      Object.values(tokenKinds).map(({schema}) => schema),
    ),
    basis: v.nullable(integerKind.schema),
    mean: v.boolean(),
    rotatedMean: v.boolean(),
    rotate: v.boolean(),
  }),
  layout: ({kind, dim, rank, latents, basis, mean, rotatedMean, rotate = false}) => ({
    ...{kind, dim, rank, latents: tokenKindOf(latents).layout(latents)},
    basis: basis instanceof tf.Tensor ? null : integerKind.layout(basis),
    ...{mean: mean !== undefined, rotatedMean: rotatedMean !== undefined, rotate},
  }),
  make: ({kind, dim, rank, latents, basis, mean, rotatedMean, rotate}, tensor) => {
    const shared = {dtype: 'float32', columns: dim, tokensPerRow: Infinity} as const;
    return {
      ...{kind, dim, rank},
      latents: tokenKindOf(latents).make(latents, (name, spec) => tensor(`latents.${name}`, spec)),
      basis:
        basis === null
          ? tensor('basis', {...shared, sharedRows: rank})
          : integerKind.make(basis, (name, spec) =>
              tensor(`basis.${name}`, {...spec, tokensPerRow: Infinity, sharedRows: rank}),
            ),
      ...(mean && {mean: tensor('mean', {...shared, sharedRows: 1})}),
      ...(rotatedMean && {rotatedMean: tensor('rotatedMean', {...shared, sharedRows: 1})}),
      ...(rotate && {rotate}),
    };
  },
  tensors: ({latents, basis, mean, rotatedMean}) => ({
    ...within('latents', tokenKindOf(latents).tensors(latents)),
    ...(basis instanceof tf.Tensor ? {basis} : within('basis', integerKind.tensors(basis))),
    ...(mean && {mean}),
    ...(rotatedMean && {rotatedMean}),
  }),
  check,
};

/** Tensors by names that begin with that of what they belong to. (A loop: `Object.fromEntries` takes longer than some kernels.) */
function within(owner: string, tensors: Readonly<Record<string, tf.Tensor4D>>): Record<string, tf.Tensor4D> {
  const named: Record<string, tf.Tensor4D> = {};
  for (const name in tensors) named[`${owner}.${name}`] = tensors[name]!;
  return named;
}

/** The token encoding that an encoding consists of: itself, or its latents. */
export function tokenEncodingOf(encoding: TokenEncoding | LowRankEncoding): TokenEncoding {
  return encoding.kind === 'lowRank' ? encoding.latents : encoding;
}

/** `[batch, kvHeads, rank, dim]`. */
export function basisShape(
  basis: Basis,
): readonly [batch: number, kvHeads: number, rank: number, dim: number] {
  if (basis instanceof tf.Tensor) return basis.shape;
  const [batch, kvHeads, rank] = basis.codes.shape;
  return [batch, kvHeads, rank, basis.dim];
}

function check(encoding: LowRankEncoding, what: string): void {
  const {dim, rank, latents, basis} = encoding;
  const data = tokenKindOf(latents).data(latents);
  const [batch, kvHeads] = [data.shape[0], kvHeadsOf(latents, data)];
  const expected = [batch, kvHeads, rank, dim];
  const shape = basisShape(basis);
  if (latents.dim !== rank || shape.join() !== expected.join()) {
    throw new InvalidArgumentError(
      `${what} of rank ${rank} have latents of dim ${latents.dim} and basis [${shape.join(', ')}]; expected dim ` +
        `${rank} and [${expected.join(', ')}].`,
    );
  }
  for (const name of ['mean', 'rotatedMean'] as const) {
    const mean = encoding[name];
    if (mean === undefined || mean.shape.join() === [batch, kvHeads, 1, dim].join()) continue;
    throw new InvalidArgumentError(
      `${what} have ${name} [${mean.shape.join(', ')}]; expected [${batch}, ${kvHeads}, 1, ${dim}].`,
    );
  }
  if (encoding.rotate === true && encoding.rotatedMean !== undefined) {
    throw new InvalidArgumentError(
      `${what} are stored before their rotation (rotate: true), which rotates their mean as well: leave rotatedMean out.`,
    );
  }
}
