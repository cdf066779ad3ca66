import {CacheStateError} from '../../base/errors.js';

// All depths take the same tokens in, each once, before the next ones come. A step that ends in its middle leaves some ahead.

/**
 * @param seen tokens that came into each depth.
 * @throws CacheStateError where `tokens` more at `depth` do not continue a step that all depths take.
 */
export function checkStep(seen: readonly number[], depth: number, tokens: number): void {
  const [least, most] = extremes(seen);
  if (seen[depth] !== least || (most !== least && most !== least + tokens)) throw unfinished(least, most);
}

/** @throws CacheStateError where some depths hold more tokens than others. */
export function expectWholeStep(seen: readonly number[]): void {
  if (!isWholeStep(seen)) throw unfinished(...extremes(seen));
}

/** Whether all depths hold equally many tokens: none of them has begun the next step. */
export function isWholeStep(seen: readonly number[]): boolean {
  const [least, most] = extremes(seen);
  return least === most;
}

const extremes = (seen: readonly number[]) => [Math.min(...seen), Math.max(...seen)] as const;

function unfinished(least: number, most: number): CacheStateError {
  return new CacheStateError(
    `A step of this cache ended in its middle: some depths hold ${most} tokens and others ${least}. truncate(${least}) takes ` +
      'it back where its policies allow that; else reset() it, or go on from a fork or a snapshot of before.',
  );
}
