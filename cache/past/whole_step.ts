import {CacheStateError} from '../../base/errors.js';

// In a step, every depth appends the same tokens once. If a forward pass stops before all layers ran, depths hold different numbers of
// tokens.

/**
 * Checks that `tokens` more at `depth` begin or continue a step of all depths.
 * @param seen tokens that each depth has seen.
 * @throws CacheStateError if they do not.
 */
export function checkStep(seen: readonly number[], depth: number, tokens: number): void {
  const [least, most] = extremes(seen);
  if (seen[depth] !== least || (most !== least && most !== least + tokens)) throw unfinished(least, most);
}

/** @throws CacheStateError if some depths have seen more tokens than others. */
export function expectWholeStep(seen: readonly number[]): void {
  if (!isWholeStep(seen)) throw unfinished(...extremes(seen));
}

/** Whether all depths have seen the same number of tokens, so that no step is incomplete. */
export function isWholeStep(seen: readonly number[]): boolean {
  const [least, most] = extremes(seen);
  return least === most;
}

/** A loop: this is for each depth of each token, and a spread of all depths takes longer. */
function extremes(seen: readonly number[]): readonly [least: number, most: number] {
  let least = Infinity;
  let most = -Infinity;
  for (const tokens of seen) {
    if (tokens < least) least = tokens;
    if (tokens > most) most = tokens;
  }
  return [least, most];
}

function unfinished(least: number, most: number): CacheStateError {
  return new CacheStateError(
    `A forward pass with this cache stopped before all layers ran: some depths hold ${most} tokens and others ${least}. ` +
      `truncate(${least}) undoes it if the policies allow that; otherwise reset() it, or continue from an earlier fork or snapshot.`,
  );
}
