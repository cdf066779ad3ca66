/** A depth that shares its budget with others. */
export interface SharingDepth {
  /** Tokens per key head that it would keep for itself. */
  readonly budget: number;
  /** The scores of its candidates, of each key head of each text. */
  readonly scores: readonly Float32Array[];
}

/** At least this share of the mean budget stays at each depth. */
const leastShare = 0.2;

/**
 * Divides the sum of all budgets anew: the tokens of the highest scores of all depths and heads stay, and at least a fifth of the mean at each
 * depth. All heads of a depth keep as many tokens, the mean of what each of them would keep.
 *
 * @returns the budget of each depth, in tokens per key head.
 */
export function sharedBudgets(depths: readonly SharingDepth[]): number[] {
  const total = depths.reduce((sum, {budget}) => sum + budget, 0);
  const least = Math.ceil((leastShare * total) / depths.length);
  const floors = depths.map(({scores}) => Math.min(least, scores[0]!.length));
  const others = depths.flatMap(({scores}, depth) =>
    scores.flatMap(ofHead =>
      Array.from(ofHead.toSorted().reverse().subarray(floors[depth]), score => ({
        score,
        depth,
        weight: 1 / scores.length,
      })),
    ),
  );
  others.sort((a, b) => b.score - a.score);
  const shares = [...floors];
  let left = total - floors.reduce((sum, floor) => sum + floor, 0);
  for (const {depth, weight} of others) {
    if (left < weight / 2) break;
    shares[depth]! += weight;
    left -= weight;
  }
  return wholeShares(shares, total);
}

/** Whole numbers of the given sum: the shares rounded down, and one more for the largest remainders. */
function wholeShares(shares: readonly number[], total: number): number[] {
  const whole = shares.map(share => Math.floor(share + 1e-6));
  const missing = Math.max(0, Math.min(total - whole.reduce((sum, share) => sum + share, 0), shares.length));
  const byRemainder = shares.map((share, depth) => ({depth, rest: share - whole[depth]!}));
  byRemainder.sort((a, b) => b.rest - a.rest);
  for (const {depth} of byRemainder.slice(0, missing)) whole[depth]!++;
  return whole;
}
