import {depthsOf} from '../state/bands.js';
import type {PageState} from '../state/page_state.js';

/** Bytes of one depth, and of the same tokens as float32. */
export interface DepthSize {
  readonly bytes: number;
  readonly float32Bytes: number;
}

/**
 * The size of each depth: of the text that was written with this very plan, else what is expected of it. Undefined while
 * nothing is known.
 */
export function depthSizes({settings, generation, size}: PageState): readonly DepthSize[] | undefined {
  if (generation?.bands === settings.bands) return generation.depths;
  if (size?.bytes.length !== depthsOf(settings.bands)) return undefined;
  return size.bytes.map(bytes => ({bytes, float32Bytes: size.float32Bytes}));
}

/** The whole plan's size, of as many tokens as `depthSizes` is of. */
export function planTotals(state: PageState): (DepthSize & {tokens: number}) | undefined {
  const sizes = depthSizes(state);
  if (sizes === undefined) return undefined;
  const {settings, generation, size} = state;
  const total = (number: (depth: DepthSize) => number) =>
    sizes.reduce((sum, depth) => sum + number(depth), 0);
  const written = generation?.bands === settings.bands ? generation : undefined;
  return {
    tokens: written ? written.headsHolding.length / sizes.length : (size?.tokens ?? 0),
    bytes: total(({bytes}) => bytes) + ((written ?? size)?.sharedBytes ?? 0),
    float32Bytes: total(({float32Bytes}) => float32Bytes),
  };
}
