import type {Generation} from '../engine/protocol.js';

/**
 * For each token of the plan's text, the share of key heads that still hold it: of one depth, or of all together. 0 is evicted
 * everywhere.
 */
export function shareHeld(
  {depths, headsHolding}: Generation,
  kvHeads: number,
  depth?: number,
): readonly number[] {
  const tokens = headsHolding.length / depths.length;
  const first = depth ?? 0;
  const end = depth === undefined ? depths.length : depth + 1;
  return Array.from({length: tokens}, (_, token) => {
    let holding = 0;
    for (let at = first; at < end; at++) holding += headsHolding[at * tokens + token]!;
    return holding / ((end - first) * kvHeads);
  });
}

/** The depth whose heads hold the fewest tokens, ties go to the first; undefined if every depth holds all. */
export function depthThatLostMost({depths, headsHolding}: Generation): number | undefined {
  const tokens = headsHolding.length / depths.length;
  const held = depths.map((_, depth) =>
    headsHolding.subarray(depth * tokens, (depth + 1) * tokens).reduce((sum, heads) => sum + heads, 0),
  );
  const least = Math.min(...held);
  return least === Math.max(...held) && !headsHolding.includes(0) ? undefined : held.indexOf(least);
}
