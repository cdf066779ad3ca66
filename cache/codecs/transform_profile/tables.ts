import {InvalidArgumentError} from '../../../base/errors.js';
import {mixingMatrix} from './mixing.js';
import type {SideTransform} from './profile.js';
import {type SideWidths, channelsPerGroup, groupCount} from './widths.js';

// The transforms with the channels of one width in a head mixed by an orthonormal matrix R, `A' = A R`, `B' = R^T B`. Mixing keeps A' B' and
// all variances; it gives channels whose tails differ the tails of one normal, which the levels are for. Channels of width 0 are not mixed,
// and those beyond the head's dim are zeros before they are mixed.

/** Channels per head: the head's dim, rounded up to a multiple of 8. */
export function channelsOf({dim}: SideTransform): number {
  return groupCount(dim) * channelsPerGroup;
}

/**
 * B', float32 `[kvHeads, channels, dim]`.
 * @throws InvalidArgumentError if the widths are of another number of heads or channels.
 */
export function mixedSynthesis(transform: SideTransform, widths: SideWidths): Float32Array {
  const {kvHeads, dim, synthesis} = transform;
  const channels = channelsOf(transform);
  const mixed = new Float32Array(kvHeads * channels * dim);
  forEachChannel(transform, widths, (head, member, parts) => {
    const row = new Float64Array(dim);
    for (const {channel, factor} of parts) {
      const from = (head * dim + channel) * dim;
      for (let i = 0; i < dim; i++) row[i]! += synthesis[from + i]! * factor;
    }
    mixed.set(row, (head * channels + member) * dim);
  });
  return mixed;
}

/**
 * A', float32 `[kvHeads, dim, channels]`.
 * @throws InvalidArgumentError if the widths are of another number of heads or channels.
 */
export function mixedAnalysis(transform: SideTransform, widths: SideWidths): Float32Array {
  const {kvHeads, dim, analysis} = transform;
  const channels = channelsOf(transform);
  const mixed = new Float32Array(kvHeads * dim * channels);
  forEachChannel(transform, widths, (head, member, parts) => {
    for (let i = 0; i < dim; i++) {
      const row = head * dim + i;
      for (const {channel, factor} of parts) {
        mixed[row * channels + member]! += analysis[row * dim + channel]! * factor;
      }
    }
  });
  return mixed;
}

/** What a mixed channel takes of one that was not mixed. */
interface Part {
  readonly channel: number;
  readonly factor: number;
}

function forEachChannel(
  {kvHeads, dim}: SideTransform,
  widths: SideWidths,
  visit: (head: number, channel: number, parts: readonly Part[]) => void,
): void {
  const groups = groupCount(dim);
  if (widths.length !== kvHeads || widths.some(({length}) => length !== groups)) {
    throw new InvalidArgumentError(
      `There are widths of ${widths.length} heads with ${widths.map(({length}) => length).join(', ')} groups; expected ${kvHeads} ` +
        `heads with ${groups}: make them with widthsFor from this profile.`,
    );
  }
  for (const [head, ofHead] of widths.entries()) {
    for (const width of new Set(ofHead)) {
      const members = channelsOfWidth(ofHead, width);
      const inside = [...members.entries()].filter(([, channel]) => channel < dim); // the rest are zeros
      const mixing = width === 0 ? undefined : mixingMatrix(members.length);
      for (const [to, member] of members.entries()) {
        const parts =
          mixing === undefined
            ? inside.filter(([from]) => from === to).map(([, channel]) => ({channel, factor: 1}))
            : inside.map(([from, channel]) => ({channel, factor: mixing[from * members.length + to]!}));
        visit(head, member, parts);
      }
    }
  }
}

function channelsOfWidth(widths: readonly number[], width: number): number[] {
  return widths.flatMap((of, group) =>
    of === width ? Array.from({length: channelsPerGroup}, (_, i) => group * channelsPerGroup + i) : [],
  );
}
