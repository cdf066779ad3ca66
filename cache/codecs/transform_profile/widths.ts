import {InvalidArgumentError} from '../../../base/errors.js';
import {groupChannels} from '../../../ops/encodings/lloyd_max_layout.js';
import {type Width, allWidths, meanSquaredErrorOf} from '../../../ops/encodings/lloyd_max_levels.js';
import type {SideTransform, TransformProfile, TransformSide} from './profile.js';

/** Channels that share a width. */
export const channelsPerGroup = groupChannels;

/** Bits that a channel may have. */
export type CodeWidth = Width;

/** Bits of a token's scale in each head. */
const scaleBitsOfHead = 6;

/** Bits by group of 8 channels, `[kvHeads][ceil(dim / 8)]`. */
export type SideWidths = readonly (readonly CodeWidth[])[];

export interface DepthWidths {
  readonly keys: SideWidths;
  readonly values: SideWidths;
}

/** How many bits each channel of a model's cache has, and what that costs. */
export interface TransformWidths {
  readonly depths: readonly DepthWidths[];
  /** Mean bits of codes per number of keys and values. */
  readonly bits: number;
  /** Bytes per token of all depths: codes and scales. */
  readonly bytesPerToken: number;
  /** Predicted KL divergence of the next token's probabilities, in nats per token. */
  readonly predictedKl: number;
}

/** How much a token may take: a mean number of code bits per number, or bytes of all depths with scales. */
export type WidthBudget = {readonly bits: number} | {readonly bytesPerToken: number};

/**
 * The widths of least predicted divergence within a budget,
 *
 *     minimise 1/2 sum_i lambda_i eps(width_i)    subject to    sum_i width_i <= budget
 *
 * over groups of 8 channels of all depths, heads and both sides together. eps is the mean squared error of a code. Since eps is
 * convex, adding bits one by one where they lower the divergence most is optimal but for the last group (reverse water-filling).
 *
 * @throws InvalidArgumentError if the budget is below the scales' bytes, above 8 bits per number, or not a number.
 */
export function widthsFor(profile: TransformProfile, budget: WidthBudget): TransformWidths {
  return mixedAlike(profile, budget, () => 0);
}

/**
 * `widthsFor` with the channels that `coarse` mixes with one another (those of a head that have the same width, above 0) kept at the same
 * width: both have the same tables, so that tokens can be coded again without their keys and values.
 *
 * @throws InvalidArgumentError as `widthsFor` does.
 */
export function finerWidths(
  profile: TransformProfile,
  coarse: TransformWidths,
  budget: WidthBudget,
): TransformWidths {
  return mixedAlike(
    profile,
    budget,
    (depth, side, head, group) => coarse.depths[depth]![side][head]![group]!,
  );
}

/** @param mixed a number of each group: those of a head with the same number, above 0, have the same width. */
function mixedAlike(
  profile: TransformProfile,
  budget: WidthBudget,
  mixed: (depth: number, side: TransformSide, head: number, group: number) => number,
): TransformWidths {
  const items: {weight: number; groups: number}[] = [];
  const indices = profile.depths.map((transforms, depth) => {
    const ofSide = (side: TransformSide) =>
      groupsOf(transforms[side]).map((weights, head) => {
        const together = new Map<number, number>();
        return weights.map((weight, group) => {
          const key = mixed(depth, side, head, group);
          const index = (key > 0 ? together.get(key) : undefined) ?? items.push({weight: 0, groups: 0}) - 1;
          together.set(key, index);
          items[index]!.weight += weight;
          items[index]!.groups++;
          return index;
        });
      });
    return {keys: ofSide('keys'), values: ofSide('values')};
  });
  const widths = optimalWidths(items, codeBytesOf(profile, budget));
  const widthsOf = (side: readonly (readonly number[])[]): SideWidths =>
    side.map(head => head.map(index => widths[index]!));
  return measuredWidths(
    profile,
    indices.map(({keys, values}) => ({keys: widthsOf(keys), values: widthsOf(values)})),
  );
}

/** What given widths take and cost. */
export function measuredWidths(profile: TransformProfile, depths: readonly DepthWidths[]): TransformWidths {
  const divergences = predictedDivergences(profile, depths);
  const {numbers, scales} = sizesOf(profile);
  const codes = depths.reduce((sum, {keys, values}) => sum + sumOf(keys) + sumOf(values), 0);
  return {
    depths,
    bits: (8 * codes) / numbers,
    bytesPerToken: codes + scales,
    predictedKl: divergences.reduce((sum, {keys, values}) => sum + keys + values, 0),
  };
}

/** The predicted KL divergence that each side of each depth adds, in nats per token: `1/2 sum_i lambda_i eps(width_i)`. */
export function predictedDivergences(
  profile: TransformProfile,
  depths: readonly DepthWidths[],
): {readonly keys: number; readonly values: number}[] {
  return profile.depths.map((transforms, depth) => {
    const of = (transform: SideTransform, widths: SideWidths) => {
      const ofGroups = widths.flat();
      const weights = groupsOf(transform).flat();
      return weights.reduce((sum, weight, i) => sum + weight * meanSquaredErrorOf(ofGroups[i]!), 0) / 2;
    };
    return {
      keys: of(transforms.keys, depths[depth]!.keys),
      values: of(transforms.values, depths[depth]!.values),
    };
  });
}

export function groupCount(dim: number): number {
  return Math.ceil(dim / channelsPerGroup);
}

/** The sums of the weights of each group, by head. */
function groupsOf({kvHeads, dim, weights}: SideTransform): number[][] {
  return Array.from({length: kvHeads}, (_, head) =>
    Array.from({length: groupCount(dim)}, (_, group) =>
      weights
        .subarray(
          head * dim + group * channelsPerGroup,
          head * dim + Math.min((group + 1) * channelsPerGroup, dim),
        )
        .reduce((sum, weight) => sum + weight, 0),
    ),
  );
}

/** Groups of channels that have the same width. */
export interface WeightedGroups {
  /** What an error of variance 1 in all of their channels costs. */
  readonly weight: number;
  readonly groups: number;
}

/** One width each, of least total error within a number of bytes. A group of width w takes w bytes per token. */
export function optimalWidths(items: readonly WeightedGroups[], bytes: number): CodeWidth[] {
  const steps = items.flatMap(({weight, groups}, item) =>
    allWidths.slice(1).map((width, i) => {
      const from = allWidths[i]!;
      const taken = groups * (width - from);
      const gain = (weight * (meanSquaredErrorOf(from) - meanSquaredErrorOf(width))) / taken;
      return {item, from, width, taken, gain};
    }),
  );
  const widths = items.map((): CodeWidth => 0);
  let left = bytes;
  for (const {item, from, width, taken, gain} of steps.sort((a, b) => b.gain - a.gain)) {
    if (!(gain > 0) || widths[item] !== from || taken > left) continue;
    widths[item] = width;
    left -= taken;
  }
  return widths;
}

function codeBytesOf(profile: TransformProfile, budget: WidthBudget): number {
  const {numbers, groups, scales} = sizesOf(profile);
  const most = 8 * groups;
  if ('bits' in budget) {
    const {bits} = budget;
    if (!(bits > 0 && bits <= 8)) {
      throw new InvalidArgumentError(
        `bits = ${bits}; expected a mean number of bits above 0 and at most 8, such as 2.5.`,
      );
    }
    return Math.floor((bits * numbers) / 8 + 1e-9);
  }
  const {bytesPerToken} = budget;
  if (bytesPerToken > scales && bytesPerToken <= most + scales)
    return Math.floor(bytesPerToken - scales + 1e-9);
  throw new InvalidArgumentError(
    `bytesPerToken = ${bytesPerToken}; with this model a token takes more than ${scales} bytes, its scales, and at most ` +
      `${most + scales}, 8 bits per number.`,
  );
}

/** Numbers, groups and heads of all depths and both sides, and bytes of a token's scales. */
export function sizesOf({depths}: TransformProfile): {
  readonly numbers: number;
  readonly groups: number;
  readonly scales: number;
} {
  let [numbers, groups, heads] = [0, 0, 0];
  for (const {keys, values} of depths) {
    for (const {kvHeads, dim} of [keys, values]) {
      numbers += kvHeads * dim;
      groups += kvHeads * groupCount(dim);
      heads += kvHeads;
    }
  }
  return {numbers, groups, scales: (heads * scaleBitsOfHead) / 8};
}

const sumOf = (widths: SideWidths): number => widths.flat().reduce<number>((sum, width) => sum + width, 0);
