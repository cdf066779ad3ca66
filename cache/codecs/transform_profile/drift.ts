import {
  exponentAt,
  groupChannels,
  placesOfHead,
  scaleWords,
  scales,
  tileTokens,
  wordsOfHead,
} from '../../../ops/encodings/lloyd_max_layout.js';
import {type Width, levelsOf, meanSquaredErrorOf} from '../../../ops/encodings/lloyd_max_levels.js';
import type {SideTransform, TransformSide} from './profile.js';
import type {SideWidths} from './widths.js';

/** Stored codes and scales of one side of one depth, in the layout of `LloydMaxEncoding`: whole tiles of one text. */
export interface StoredCodes {
  readonly depth: number;
  readonly side: TransformSide;
  readonly widths: SideWidths;
  readonly codes: ArrayLike<number>;
  readonly scales: ArrayLike<number>;
  /** Tiles of 16 tokens. */
  readonly tiles: number;
}

/** How far the stored tokens of one head are from those of the calibration. */
export interface HeadDrift {
  readonly depth: number;
  readonly side: TransformSide;
  readonly head: number;
  /**
   * Mean of log2 of the tokens' scales, minus that of the calibration, in the calibration's standard deviations. Scales are stored in steps
   * of 1/8, from -5 on: means below that count as -5, and deviations below that of the rounding, 0.036, as 0.036. So tokens that never vary
   * are in their place, and a calibration on a constant text gives finite numbers.
   */
  readonly scaleShift: number;
  /** Share of the codes of 3 bits and more that have an extreme level, and the share that normal numbers would have. NaN without such codes. */
  readonly saturated: number;
  readonly expectedSaturated: number;
  /** Root mean square over widths of log2 of the energy of what is stored, relative to the calibration's; 0 without codes. */
  readonly drift: number;
}

/** How far what a cache stores is from what its profile was calibrated on. */
export interface CalibrationDrift {
  /** Tokens that were looked at, the newest stored ones. */
  readonly tokens: number;
  /**
   * Root mean square over heads and widths of log2 (E / E0), where E is the mean square of the stored channels of a width,
   * `scale * level`, and E0 = 1 - eps(width) that of the calibration, whose channels have variance 1. About 0.1 on the calibration's own
   * texts.
   */
  readonly keys: number;
  readonly values: number;
  /** The larger of both, each relative to its limit: see `driftLimits`. */
  readonly drift: number;
  /** Root mean square over heads of `HeadDrift.scaleShift`. */
  readonly scaleShift: number;
  /** Over all heads: see `HeadDrift`. */
  readonly saturated: number;
  readonly expectedSaturated: number;
  /** Whether `drift` is above 1: what the profile predicts does not hold then. False below `fewestDriftTokens`. */
  readonly hasLeft: boolean;
  readonly heads: readonly HeadDrift[];
}

/**
 * Drift that is too large. Measured with 2.5 bits: the values of prose that a packaged model was not calibrated on have 0.09 to 0.35,
 * those of source code, JSON, random tokens, Chinese and random bytes 0.51 to 0.85 on SmolLM2. Keys say less, since their rotated
 * covariance changes with the position: those of prose have 0.1 to 0.2 within the windows of the calibration and 0.45 at position 3,072,
 * and a profile averaged over positions loses as much.
 */
export const driftLimits: Readonly<Record<TransformSide, number>> = {keys: 1, values: 0.4};

/** Fewer tokens say nothing. */
const fewestDriftTokens = 64;

/**
 * Compares stored tokens with the calibration, by their codes and scales alone.
 * @param transformOf the transform of a depth's side.
 */
export function calibrationDriftOf(
  stored: readonly StoredCodes[],
  transformOf: (depth: number, side: TransformSide) => SideTransform,
): CalibrationDrift {
  const heads = stored.flatMap(of => headsOf(of, transformOf(of.depth, of.side)));
  const tokens = Math.max(0, ...stored.map(({tiles}) => tiles * tileTokens));
  const all = addCounts(heads.map(({counts}) => counts));
  const ofSide = (side: TransformSide) =>
    driftOf(heads.filter(head => head.side === side).flatMap(({counts}) => [...counts.entries()]));
  const [keys, values] = [ofSide('keys'), ofSide('values')];
  const drift = Math.max(keys / driftLimits.keys, values / driftLimits.values);
  const shifts = heads.map(({scaleShift}) => scaleShift);
  return {
    ...{tokens, keys, values, drift},
    scaleShift: Math.sqrt(shifts.reduce((sum, shift) => sum + shift ** 2, 0) / shifts.length),
    ...saturationOf(all),
    hasLeft: tokens >= fewestDriftTokens && drift > 1,
    heads: heads.map(({counts, ...head}) => ({
      ...head,
      ...saturationOf(counts),
      drift: driftOf([...counts.entries()]),
    })),
  };
}

/** Codes of one width. */
interface Count {
  readonly codes: number;
  /** Sum of squares of `scale * level`. */
  readonly energy: number;
  readonly extreme: number;
}

type Counts = ReadonlyMap<Width, Count>;

function headsOf(
  {depth, side, widths, codes, scales: words, tiles}: StoredCodes,
  {tokenScales: {mean, deviation}}: SideTransform,
) {
  const tileWords = widths.reduce((sum, ofHead) => sum + wordsOfHead(ofHead), 0);
  const tileScaleWords = scaleWords * widths.length;
  let firstWord = 0;
  return widths.map((ofHead, head) => {
    let sumOfLogs = 0;
    const sums = new Map(
      ofHead.filter(width => width > 0).map(width => [width, {codes: 0, energy: 0, extreme: 0}]),
    );
    const channels = placesOfHead(ofHead).map((planes, channel) => {
      const width = ofHead[Math.floor(channel / groupChannels)]!;
      return {planes, sum: sums.get(width), last: levelsOf(width).midpoints.at(-1) ?? 0};
    });
    for (let token = 0; token < tiles * tileTokens; token++) {
      const [tile, inTile] = [Math.floor(token / tileTokens), token % tileTokens];
      const exponent = exponentAt(words, tile * tileScaleWords + head * scaleWords, inTile);
      sumOfLogs += Math.log2(scales[exponent]!);
      for (const {planes, sum, last} of channels) {
        if (sum === undefined) continue;
        let level = 0;
        for (const {plane, vector, bit} of planes) {
          const word = codes[tile * tileWords + firstWord + 4 * vector + (inTile >> 2)]!;
          level += plane.levels[(word >>> (8 * (inTile & 3) + bit)) & (2 ** plane.bits - 1)]!;
        }
        sum.codes++;
        sum.energy += (scales[exponent]! * level) ** 2;
        if (Math.abs(level) > last) sum.extreme++;
      }
    }
    firstWord += wordsOfHead(ofHead);
    const shift = sumOfLogs / (tiles * tileTokens) - Math.max(mean[head]!, leastLog);
    const scaleShift = shift / Math.max(deviation[head]!, roundingDeviation);
    return {depth, side, head, scaleShift, counts: sums};
  });
}

/** Log2 of the smallest scale that is stored. */
const leastLog = Math.log2(scales[0]!);

/** The standard deviation of what is rounded to the steps of log2 of stored scales. */
const roundingDeviation = Math.log2(scales[1]! / scales[0]!) / Math.sqrt(12);

function addCounts(all: readonly Counts[]): Counts {
  const sums = new Map<Width, Count>();
  for (const [width, {codes, energy, extreme}] of all.flatMap(counts => [...counts])) {
    const before = sums.get(width) ?? {codes: 0, energy: 0, extreme: 0};
    sums.set(width, {
      codes: before.codes + codes,
      energy: before.energy + energy,
      extreme: before.extreme + extreme,
    });
  }
  return sums;
}

/** Each width of each head counts as much as it has codes. */
function driftOf(counts: readonly (readonly [Width, Count])[]): number {
  let [squares, weight] = [0, 0];
  for (const [width, {codes, energy}] of counts) {
    if (codes === 0) continue;
    const log = Math.log2(Math.max(energy / codes, 2 ** -20) / (1 - meanSquaredErrorOf(width)));
    squares += codes * log ** 2;
    weight += codes;
  }
  return weight === 0 ? 0 : Math.sqrt(squares / weight);
}

/** Levels of 1 and 2 bits are extreme too often to tell anything. */
function saturationOf(counts: Counts): Pick<HeadDrift, 'saturated' | 'expectedSaturated'> {
  let [codes, extreme, expected] = [0, 0, 0];
  for (const [width, count] of counts) {
    if (width < 3) continue;
    codes += count.codes;
    extreme += count.extreme;
    expected += count.codes * normalBeyond(levelsOf(width).midpoints.at(-1)!);
  }
  return {saturated: extreme / codes, expectedSaturated: expected / codes};
}

/** How often a standard normal number is beyond +-x, within 1.2e-7 (Press et al., Numerical Recipes, erfc by Chebyshev fitting). */
function normalBeyond(x: number): number {
  const t = 1 / (1 + x / (2 * Math.SQRT2));
  const terms = [
    0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196,
    1.00002368, -1.26551223,
  ];
  return t * Math.exp(-(x * x) / 2 + terms.reduce((sum, term) => sum * t + term));
}
