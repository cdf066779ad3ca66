import {InvalidArgumentError} from '../../../base/errors.js';
import {mixingMatrix} from './mixing.js';
import type {SideTransform} from './profile.js';
import {type SideWidths, channelsPerGroup, groupCount} from './widths.js';

/** What one side of one depth encodes and decodes with, for given widths. */
export interface TransformTables {
  /** Channels per head: the head's dim, rounded up to a multiple of 8. */
  readonly channels: number;
  /** A', float32 `[kvHeads, dim, channels]`: `z = (x - mean) A'`. */
  readonly analysis: Float32Array;
  /** B', float32 `[kvHeads, channels, dim]`: `x ~ mean + z B'`. */
  readonly synthesis: Float32Array;
}

/**
 * The transforms with the channels of one width in a head mixed by an orthonormal matrix R, `A' = A R`, `B' = R^T B`. Mixing keeps
 * A' B' and all variances; it gives channels whose tails differ the tails of one normal, which the levels are for. Channels of width 0
 * are zeros, and so are those beyond the head's dim before they are mixed.
 *
 * @throws InvalidArgumentError if the widths are of another number of heads or channels.
 */
export function tablesFor(transform: SideTransform, widths: SideWidths): TransformTables {
  const {kvHeads, dim} = transform;
  const groups = groupCount(dim);
  if (widths.length !== kvHeads || widths.some(({length}) => length !== groups)) {
    throw new InvalidArgumentError(
      `There are widths of ${widths.length} heads with ${widths.map(({length}) => length).join(', ')} groups; expected ${kvHeads} ` +
        `heads with ${groups}: make them with widthsFor from this profile.`,
    );
  }
  const channels = groups * channelsPerGroup;
  const analysis = new Float32Array(kvHeads * dim * channels);
  const synthesis = new Float32Array(kvHeads * channels * dim);
  widths.forEach((ofHead, head) => {
    for (const width of new Set(ofHead)) {
      if (width > 0) mix(transform, head, channelsOf(ofHead, width), {analysis, synthesis});
    }
  });
  return {channels, analysis, synthesis};
}

function channelsOf(widths: readonly number[], width: number): number[] {
  return widths.flatMap((of, group) =>
    of === width ? Array.from({length: channelsPerGroup}, (_, i) => group * channelsPerGroup + i) : [],
  );
}

/** Writes `A R` into columns, and `R^T B` into rows, of one head. */
function mix(
  {dim, analysis, synthesis}: SideTransform,
  head: number,
  members: readonly number[],
  into: Pick<TransformTables, 'analysis' | 'synthesis'>,
): void {
  const channels = groupCount(dim) * channelsPerGroup;
  const count = members.length;
  const mixing = mixingMatrix(count);
  const inside = members.filter(channel => channel < dim); // the rest are zeros
  for (const [to, member] of members.entries()) {
    for (let i = 0; i < dim; i++) {
      let [a, b] = [0, 0];
      for (const [from, channel] of inside.entries()) {
        const factor = mixing[from * count + to]!;
        a += analysis[(head * dim + i) * dim + channel]! * factor;
        b += synthesis[(head * dim + channel) * dim + i]! * factor;
      }
      into.analysis[(head * dim + i) * channels + member] = a;
      into.synthesis[(head * channels + member) * dim + i] = b;
    }
  }
}
