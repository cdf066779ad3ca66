import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {type Factory, atLeast, defineFactory, numberWithin} from '../../base/options.js';
import {headsOf} from '../../ops/encodings/encoding.js';
import {tileTokens} from '../../ops/encodings/lloyd_max_layout.js';
import type {Context, PairCodec} from '../contract.js';
import type {DenseBlock, Past, Segment} from '../past/past.js';
import {moveTokens} from '../past/segments.js';
import {paying} from './pair.js';
import {type TransformBits, bitsOfLevels, bitsOption, hasLevels} from './transform_profile/bits.js';
import {expectContext, expectFingerprint, expectHeads} from './transform_profile/fit.js';
import {type DepthLevels, expectBudget, tokenBytes} from './transform_profile/level_bytes.js';
import {type Coding, anyLevel, storeByAge, storeFinest} from './transform_profile/levels.js';
import {lowered} from './transform_profile/lowered.js';
import {ownNumbers, ownTransform, ownWidths} from './transform_profile/own_transform.js';
import {profileId, profileOfModel, registerProfile, registeredProfile} from './transform_profile/of_model.js';
import type {TransformProfile, TransformSide} from './transform_profile/profile.js';
import {sideTensors} from './transform_profile/tensors.js';
import {agesByDefault, widthsOfLevels} from './transform_profile/widths_by_age.js';

export interface TransformOptions {
  /**
   * Mean bits of codes per number of keys and values, above 0 and at most 8; each token adds 6 bits per head and side. Two to four falling
   * numbers, such as `'4.5/2.3/0.8'`, are levels: a token begins with the most bits, and while a keeper's budget in bytes is full, tokens of
   * the lowest scores lose bits before any is evicted. Default 2.5.
   */
  readonly bits?: TransformBits;
  /**
   * How many of the newest stored tokens have more bits, since most of the attention is theirs: whole tiles of 16; at most half of a keeper's
   * budget. An eighth of the text is a good number. With levels, how many of them keep the most bits whatever their scores. Default 0.
   */
  readonly near?: number;
  /** How many more bits these have; at most 8 together. Levels need none. Default 2. */
  readonly extraBits?: number;
  /**
   * A profile of the model, or the id of a registered one; a profile of other attention weights is refused. Default: the one that the model
   * came with, or was given by `useProfile`; if it has none, the principal directions of each text's first tokens, which cost several times
   * the divergence.
   */
  readonly profile?: TransformProfile | string | null;
}

export const transformEntries = {
  bits: v.optional(bitsOption, 2.5),
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
type Parts = Pick<PairCodec, 'check' | 'firstTokens' | 'lendsTables' | 'add' | 'lower' | 'budgetShare'>;

/** Stores tokens by the principal directions of the first ones of their text. */
function byOwnTransforms(options: CodingOptions): Parts {
  const bits = bitsOfLevels(options);
  const levelsOf = (kvHeads: number, dim: number, dimV: number): DepthLevels => ({
    levels: bits.map(of => ({keys: ownWidths(kvHeads, dim, of), values: ownWidths(kvHeads, dimV, of)})),
    shared: 4 * kvHeads * (ownNumbers(dim) + ownNumbers(dimV)),
  });
  return {
    check({kvHeads, dim, dimV}, keep) {
      if (!hasLevels(options.bits) || kvHeads === undefined) return;
      expectBudget(keep?.budget, [{share: 1, ...levelsOf(kvHeads, dim, dimV)}]);
    },
    firstTokens: ({dim, dimV}) => Math.max(...[dim, dimV].map(of => paying(ownNumbers(of), of))),
    ...storing(options, {
      levels: (_, {keys, values}) => levelsOf(headsOf(keys).kvHeads, keys.dim, values.dim),
      tables(past, {keys, values}) {
        const before = anyLevel(past);
        return {
          keys: ownTransform(keys.data, before?.keys, true),
          values: ownTransform(values.data, before?.values, false),
        };
      },
    }),
  };
}

function byProfile(found: TransformProfile, options: CodingOptions): Parts {
  const widths = widthsOfLevels(found, bitsOfLevels(options));
  const levelsOf = (depth: number): DepthLevels => ({
    levels: widths.map(({depths}) => depths[depth]!),
    shared: 0,
  });
  const bytes = found.depths.map((_, depth) => tokenBytes(levelsOf(depth).levels[0]!, false));
  const mean = bytes.reduce((sum, ofDepth) => sum + ofDepth, 0) / bytes.length;
  return {
    check(sizes, keep) {
      expectHeads(found, sizes);
      if (!hasLevels(options.bits)) return;
      expectBudget(
        keep?.budget,
        bytes.map((of, depth) => ({share: of / mean, ...levelsOf(depth)})),
      );
    },
    lendsTables: true,
    ...storing(options, {
      levels: levelsOf,
      tables(_, {keys}, context) {
        expectContext(found, context);
        const of = (side: TransformSide) =>
          sideTensors(found, widths.at(-1)!, context.depth, side, keys.data.shape[0]);
        return {keys: of('keys'), values: of('values')};
      },
    }),
    ...(hasLevels(options.bits) && {budgetShare: depth => bytes[depth]! / mean}),
  };
}

/** What differs with and without a profile. */
interface Coder {
  /** @param segment some tokens of the depth, stored or not. */
  levels(depth: number, segment: Segment): DepthLevels;
  tables(past: Past, block: DenseBlock, context: Context): Coding['tables'];
}

function storing({bits, near}: CodingOptions, coder: Coder): Pick<PairCodec, 'add' | 'lower'> {
  return {
    add(past, block, context) {
      const coding = {
        tables: coder.tables(past, block, context),
        ...coder.levels(context.depth, block),
      };
      return hasLevels(bits)
        ? storeFinest(past, block, coding, context)
        : storeByAge(past, block, near, coding, context);
    },
    ...(hasLevels(bits) && {
      lower(past, context, scoresOf) {
        const some = anyLevel(past);
        return some === undefined
          ? past
          : lowered(past, coder.levels(context.depth, some), near, context, scoresOf);
      },
    }),
  };
}

function expectProfile(id: string): TransformProfile {
  const profile = registeredProfile(id);
  if (profile !== undefined) return profile;
  throw new InvalidArgumentError(
    `transform: there is no profile "${id}"; load it and give it by registerProfile(profile), or leave the option out to use the model's own.`,
  );
}
