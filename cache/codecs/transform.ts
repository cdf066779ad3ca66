import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {type Factory, defineFactory} from '../../base/options.js';
import {floatBasis} from '../../ops/encodings/decode.js';
import type {LowRankEncoding} from '../../ops/encodings/encoding.js';
import {quantizeLloydMax} from '../../ops/lloyd_max/index.js';
import {coefficients} from '../../ops/low_rank/coefficients.js';
import {project} from '../../ops/low_rank/index.js';
import type {Context, PairCodec} from '../contract.js';
import {meanAt} from '../past/decode.js';
import type {DenseBlock, Past} from '../past/past.js';
import {moveTokens} from '../past/segments.js';
import {paying, withBlock} from './pair.js';
import {expectContext, expectFingerprint, expectHeads} from './transform_profile/fit.js';
import {encodeByOwnTransform, ownNumbers} from './transform_profile/own_transform.js';
import {profileId, profileOfModel, registerProfile, registeredProfile} from './transform_profile/of_model.js';
import type {TransformProfile} from './transform_profile/profile.js';
import {type SideTensors, sideTensors} from './transform_profile/tensors.js';
import {type TransformWidths, widthsFor} from './transform_profile/widths.js';

export interface TransformOptions {
  /** Mean bits of codes per number of keys and values, above 0 and at most 8; each token adds 6 bits per head and side. Default 2.5. */
  readonly bits?: number;
  /**
   * A profile of the model, or the id of a registered one; a profile of other attention weights is refused. Default: the one that the model
   * came with, or was given by `useProfile`; if it has none, the principal directions of each text's first tokens, which cost several times
   * the divergence.
   */
  readonly profile?: TransformProfile | string | null;
}

export const transformEntries = {
  bits: v.optional(
    v.pipe(
      v.number('expected a number above 0, at most 8'),
      v.gtValue(0, 'expected a number above 0, at most 8'),
      v.maxValue(8, 'expected a number above 0, at most 8'),
    ),
    2.5,
  ),
  profile: v.optional(
    v.custom<TransformProfile | string | null>(isProfileOption, 'expected a profile or its id'),
    null,
  ),
};

function isProfileOption(given: unknown): boolean {
  return typeof given === 'string' || typeof given === 'object'; // registerProfile looks at it
}

/**
 * Transform coding in the metric of the loss. Keys and values become channels that are uncorrelated and whose errors cost
 * independently of one another; each channel has as many bits as its errors are worth, over all depths, heads and both sides of the
 * model together; each token has a scale:
 *
 *     keys  R_p(k - mu_0) ~ M + s z B        values  v ~ M + s z B        z levels of 0 to 8 bits
 *
 * A profile has the transforms, calibrated on texts by gradients (see `SideTransform`). Without one, see `encodeByOwnTransform`. Tokens are
 * stored in tiles of 16. Transform
 * coding with reverse water-filling: Huang and Schultheiss, 1963; the metric is the Fisher information of the next token's
 * probabilities.
 */
export const transform: Factory<TransformOptions, PairCodec> = defineFactory(
  'transform',
  transformEntries,
  ({bits, profile}) => {
    const given = typeof profile === 'object' && profile !== null ? registerProfile(profile) : profile;
    return transformCodec(bits, given, undefined);
  },
);

/** @param owner the model that the codec is for; undefined until it is known. */
function transformCodec(bits: number, id: string | null, owner: object | undefined): PairCodec {
  const given = id === null ? undefined : expectProfile(id);
  const profile = given ?? (owner && profileOfModel(owner));
  const codec: PairCodec = {
    name: 'transform',
    options: {bits, profile: id},
    blockTokens: tileTokens,
    moveTokens: tileTokens * Math.ceil(moveTokens / tileTokens),
    // at its first use: it reads the whole profile
    get tables() {
      return id === null && profile !== undefined ? profileId(profile) : undefined;
    },
    // a codec that has its model stays as it is, so that a fork goes on by the same profile
    forModel: (model, fingerprint) => {
      if (model === owner) return codec;
      if (given !== undefined) expectFingerprint(given, fingerprint());
      return transformCodec(bits, id, model);
    },
    ...(profile === undefined ? byOwnTransforms(bits) : byProfile(profile, bits)),
    ...(profile === undefined && owner !== undefined && 'layers' in owner && {warning: noProfile}),
  };
  return codec;
}

const noProfile =
  'transform: this model has no profile, so tokens are stored by the principal directions of their own text, which costs several times the ' +
  'divergence. Calibrate it (eigenkv calibrate --profile FILE; then --profile FILE, or await useProfile(model, profile)), or take quantized ' +
  'with 4 bits or more.';

type Coding = Pick<PairCodec, 'check' | 'firstTokens' | 'add'>;

/** Stores tokens by the principal directions of the first ones of their text. */
function byOwnTransforms(bits: number): Coding {
  return {
    firstTokens: ({dim, dimV}) => Math.max(...[dim, dimV].map(of => paying(ownNumbers(of), of))),
    add(past, block, context) {
      const {stored} = past.held;
      const encoded = {
        ...block,
        keys: encodeByOwnTransform(block.keys.data, stored?.keys, {bits, center: true}),
        values: encodeByOwnTransform(block.values.data, stored?.values, {bits, center: false}),
      };
      return withBlock(past, 'stored', encoded, context.expectedTokens);
    },
  };
}

function byProfile(found: TransformProfile, bits: number): Coding {
  const widths = widthsOf(found, bits);
  return {
    check: sizes => {
      expectHeads(found, sizes);
    },
    add(past, block, context) {
      expectContext(found, context);
      const batch = block.keys.data.shape[0];
      const tensors = (side: 'keys' | 'values') => sideTensors(found, widths, context.depth, side, batch);
      const encoded = {
        ...block,
        keys: encode(keysOf(block, tensors('keys'), past, context), tensors('keys')),
        values: encode(block.values.data, tensors('values')),
      };
      return withBlock(past, 'stored', encoded, context.expectedTokens);
    },
  };
}

const known = new WeakMap<TransformProfile, Map<number, TransformWidths>>();

/** `widthsFor`, once for all depths and caches. */
function widthsOf(profile: TransformProfile, bits: number): TransformWidths {
  const ofProfile = known.get(profile) ?? new Map<number, TransformWidths>();
  known.set(profile, ofProfile);
  const widths = ofProfile.get(bits) ?? widthsFor(profile, {bits});
  ofProfile.set(bits, widths);
  return widths;
}

/** Tokens whose codes lie together: see `lloydMax`. */
const tileTokens = 16;

/** Rotated keys minus the mean that is rotated with them. */
function keysOf(
  {keys, positions, tokens}: DenseBlock,
  {rotatedMean}: SideTensors,
  {tokensSeen}: Past,
  {rope}: Context,
): tf.Tensor4D {
  if (rotatedMean === undefined) return keys.data;
  return tf.sub(keys.data, meanAt(rotatedMean, tokens, positions, {rope, tokensSeen}));
}

function encode(x: tf.Tensor4D, {widths, analysis, basis, mean, rotatedMean}: SideTensors): LowRankEncoding {
  const centred = mean ? tf.sub<tf.Tensor4D>(x, mean) : x;
  const channels = analysis ? project(centred, analysis) : coefficients(centred, floatBasis(basis));
  return {
    kind: 'lowRank',
    dim: x.shape[3],
    rank: channels.shape[3],
    latents: quantizeLloydMax(channels, widths),
    basis,
    ...(mean && {mean}),
    ...(rotatedMean && {rotatedMean}),
  };
}

function expectProfile(id: string): TransformProfile {
  const profile = registeredProfile(id);
  if (profile !== undefined) return profile;
  throw new InvalidArgumentError(
    `transform: there is no profile "${id}"; load it and give it by registerProfile(profile), or leave the option out to use the model's own.`,
  );
}
