import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {type Factory, atLeast, defineFactory, numberWithin} from '../../base/options.js';
import {tileTokens} from '../../ops/encodings/lloyd_max_layout.js';
import type {PairCodec} from '../contract.js';
import {moveTokens} from '../past/segments.js';
import {paying} from './pair.js';
import {type SideCoder, storeByAge} from './transform_profile/by_age.js';
import {expectContext, expectFingerprint, expectHeads} from './transform_profile/fit.js';
import {ownNumbers, ownTransform, ownWidths} from './transform_profile/own_transform.js';
import {profileId, profileOfModel, registerProfile, registeredProfile} from './transform_profile/of_model.js';
import type {TransformProfile, TransformSide} from './transform_profile/profile.js';
import {sideTensors} from './transform_profile/tensors.js';
import {agesByDefault, nearBitsOf, widthsByAge} from './transform_profile/widths_by_age.js';

export interface TransformOptions {
  /** Mean bits of codes per number of keys and values, above 0 and at most 8; each token adds 6 bits per head and side. Default 2.5. */
  readonly bits?: number;
  /**
   * How many of the newest stored tokens have more bits, since most of the attention is theirs: whole tiles of 16; at most half of a keeper's
   * budget. An eighth of the text is a good number. Default 0.
   */
  readonly near?: number;
  /** How many more bits these have; at most 8 together. Default 2. */
  readonly extraBits?: number;
  /**
   * A profile of the model, or the id of a registered one; a profile of other attention weights is refused. Default: the one that the model
   * came with, or was given by `useProfile`; if it has none, the principal directions of each text's first tokens, which cost several times
   * the divergence.
   */
  readonly profile?: TransformProfile | string | null;
}

const meanBits = v.pipe(
  v.number('expected a number above 0, at most 8'),
  v.gtValue(0, 'expected a number above 0, at most 8'),
  v.maxValue(8, 'expected a number above 0, at most 8'),
);

export const transformEntries = {
  bits: v.optional(meanBits, 2.5),
  near: v.optional(atLeast(0), agesByDefault.near),
  extraBits: v.optional(numberWithin(0, 8), agesByDefault.extraBits),
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
 * A profile has the transforms, calibrated on texts by gradients (see `SideTransform`). Without one, see `ownTransform`. Tokens are stored
 * in tiles of 16. Transform coding with reverse water-filling: Huang and Schultheiss, 1963; the metric is the Fisher information of the next
 * token's probabilities.
 */
export const transform: Factory<TransformOptions, PairCodec> = defineFactory(
  'transform',
  transformEntries,
  ({profile, ...coding}) => {
    const given = typeof profile === 'object' && profile !== null ? registerProfile(profile) : profile;
    return transformCodec(coding, given, undefined);
  },
);

type CodingOptions = Required<Pick<TransformOptions, 'bits' | 'near' | 'extraBits'>>;

/** @param owner the model that the codec is for; undefined until it is known. */
function transformCodec(options: CodingOptions, id: string | null, owner: object | undefined): PairCodec {
  const given = id === null ? undefined : expectProfile(id);
  const profile = given ?? (owner && profileOfModel(owner));
  const codec: PairCodec = {
    name: 'transform',
    options: {...options, profile: id},
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
      return transformCodec(options, id, model);
    },
    ...(profile === undefined ? byOwnTransforms(options) : byProfile(profile, options)),
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
function byOwnTransforms({bits, near, extraBits}: CodingOptions): Coding {
  return {
    firstTokens: ({dim, dimV}) => Math.max(...[dim, dimV].map(of => paying(ownNumbers(of), of))),
    add(past, block, context) {
      const before = past.held['stored'] ?? past.held['near'];
      const coder = (side: TransformSide): SideCoder => {
        const x = block[side].data;
        const [, kvHeads, , dim] = x.shape;
        return {
          tables: ownTransform(x, before?.[side], side === 'keys'),
          widths: ownWidths(kvHeads, dim, bits),
          nearWidths: ownWidths(kvHeads, dim, nearBitsOf(bits, extraBits)),
        };
      };
      return storeByAge(past, block, near, {keys: coder('keys'), values: coder('values')}, context);
    },
  };
}

function byProfile(found: TransformProfile, {bits, ...ages}: CodingOptions): Coding {
  const widths = widthsByAge(found, bits, ages);
  return {
    check: sizes => {
      expectHeads(found, sizes);
    },
    add(past, block, context) {
      expectContext(found, context);
      const {depth} = context;
      const coder = (side: TransformSide): SideCoder => ({
        tables: sideTensors(found, widths.far, depth, side, block.keys.data.shape[0]),
        widths: widths.far.depths[depth]![side],
        nearWidths: widths.near.depths[depth]![side],
      });
      return storeByAge(past, block, ages.near, {keys: coder('keys'), values: coder('values')}, context);
    },
  };
}

function expectProfile(id: string): TransformProfile {
  const profile = registeredProfile(id);
  if (profile !== undefined) return profile;
  throw new InvalidArgumentError(
    `transform: there is no profile "${id}"; load it and give it by registerProfile(profile), or leave the option out to use the model's own.`,
  );
}
