// Which tokens of a segment the rows of queries see: query q those from `oldest + q` on, and of a causal segment those up to `firstQuery + q`.
// Without a sliding window `oldest` is -2^30.

/** The first token of a segment that any query sees, at most `end`. */
// @ts-ignore: decorator
@inline
export function firstSeen(oldest: i32, end: i32): i32 {
  return min(max(oldest, 0), max(end, 0));
}

/** Hides the first `hidden` of `count` scores from a row. */
// @ts-ignore: decorator
@inline
export function hideFirst(scores: usize, hidden: i32, count: i32): void {
  const end = scores + (<usize>max(min(hidden, count), 0) << 2);
  for (; scores < end; scores += 4) store<f32>(scores, -Infinity);
}
