import {tileTokens} from '../../../ops/encodings/lloyd_max_layout.js';
import {wholeBlocks} from '../../past/segments.js';
import {type TransformProfile, type TransformSide, transformSides} from './profile.js';
import {type TransformWidths, finerWidths, predictedDivergences, widthsFor} from './widths.js';

// More bits for the newest tokens, since most of the attention is theirs.

/** How bits depend on the age of tokens: options of the codec `transform`. */
export interface AgeOptions {
  /** How many of the newest stored tokens are near. */
  readonly near: number;
  /** How many more bits these have; at most 8 together. */
  readonly extraBits: number;
}

export const agesByDefault: AgeOptions = {near: 0, extraBits: 2};

/**
 * How many of so many stored tokens are near: whole tiles of `tileTokens`.
 * @param budget how many of them a keeper lets stay; half of it at most is near, since the keeper chooses among the others.
 */
export function nearTokens(near: number, tokens: number, budget?: number): number {
  const most = budget === undefined ? tokens : Math.min(tokens, budget) / 2;
  return wholeBlocks(Math.min(near, most), tileTokens);
}

/** Mean bits of near tokens. */
export const nearBitsOf = (bits: number, extraBits: number): number => Math.min(bits + extraBits, 8);

export interface WidthsByAge {
  readonly far: TransformWidths;
  /** Channels that `far` mixes with one another have the same width here, too. */
  readonly near: TransformWidths;
}

/** The widths of `widthsOfLevels` by age. */
export function widthsByAge(
  profile: TransformProfile,
  bits: number,
  {near, extraBits}: AgeOptions = agesByDefault,
): WidthsByAge {
  const levels = widthsOfLevels(profile, near === 0 ? [bits] : [nearBitsOf(bits, extraBits), bits]);
  return {far: levels.at(-1)!, near: levels[0]!};
}

/**
 * Widths for each of some mean numbers of bits, the fewest last. Channels that are mixed with one another there have equal widths everywhere.
 * Calculated once for all depths and caches.
 */
export function widthsOfLevels(profile: TransformProfile, bits: readonly number[]): TransformWidths[] {
  const least = bits.at(-1)!;
  const coarsest = once(profile, String(least), () => widthsFor(profile, {bits: least}));
  return bits.map(of =>
    of === least
      ? coarsest
      : once(profile, `${least}, ${of}`, () => finerWidths(profile, coarsest, {bits: of})),
  );
}

const known = new WeakMap<TransformProfile, Map<string, TransformWidths>>();

function once(profile: TransformProfile, key: string, make: () => TransformWidths): TransformWidths {
  const ofProfile = known.get(profile) ?? new Map<string, TransformWidths>();
  known.set(profile, ofProfile);
  const widths = ofProfile.get(key) ?? make();
  ofProfile.set(key, widths);
  return widths;
}

/**
 * The part of a query's attention that goes beyond so many tokens, if the text has no beginning. Found on SmolLM2 with 4,096 tokens of
 * WikiText-2: see `farPart`.
 */
const beyond = (tokens: number): number => (1 + tokens / 60) ** -0.34;

/**
 * Part of the divergence that tokens older than the `near` newest ones cause, if all have the same bits: the mean over a text's positions
 * of the attention that goes to them. On SmolLM2, 64 tokens at a time, it was .77, .65, .50, .34 and .20 for 32, 64, 128, 256 and 512 of
 * 4,096 tokens of WikiText-2 (these chose the constants; here .78, .65, .49, .34, .20). Other texts of 1,024 tokens: .70, .56, .39, .23 and .08 (here .69, .52, .33, .16,
 * .04).
 */
function farPart(near: number, tokens: number): number {
  if (near === 0 || tokens === Infinity) return beyond(near);
  let sum = 0;
  for (let position = near + 1; position <= tokens; position++) {
    sum += (beyond(near) - beyond(position)) / (1 - beyond(position));
  }
  return sum / tokens;
}

/**
 * The predicted KL divergence that each side of each depth adds, in nats per token.
 * @param tokens length of the text; it matters if some tokens are near.
 */
export function divergencesByAge(
  profile: TransformProfile,
  bits: number,
  ages: AgeOptions = agesByDefault,
  tokens = Infinity,
): Readonly<Record<TransformSide, number>>[] {
  const widths = widthsByAge(profile, bits, ages);
  const [far, near] = [widths.far, widths.near].map(({depths}) => predictedDivergences(profile, depths));
  const part = farPart(ages.near, tokens);
  const of = (side: TransformSide, depth: number) =>
    part * far![depth]![side] + (1 - part) * near![depth]![side];
  return profile.depths.map((_, depth) => ({keys: of('keys', depth), values: of('values', depth)}));
}

/** The sum of `divergencesByAge`. */
export function divergenceByAge(...given: Parameters<typeof divergencesByAge>): number {
  return divergencesByAge(...given).reduce(
    (sum, depth) => sum + transformSides.reduce((of, side) => of + depth[side], 0),
    0,
  );
}
