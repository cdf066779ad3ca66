/** What one rounding of float32 takes, relative. */
export const rounding = 2 ** -24;

/** A key on the host, rotated, and its length. */
export interface HostKey {
  readonly key: Float64Array;
  readonly length: number;
}

/** A probability, and how far float32 may be off: `attentionStatistics` states it for scores that are right. */
export interface Share {
  readonly p: number;
  readonly error: number;
}

/** The attention of one query over keys, in float64. */
export function attention(query: Float64Array, tokens: readonly HostKey[], scale: number): Share[] {
  const scores = tokens.map(({key}) => {
    let sum = 0;
    for (let i = 0; i < key.length; i++) sum += query[i]! * key[i]!;
    return sum * scale;
  });
  const max = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const logSum = max + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - max), 0));
  // a dot product of rotated rows rounds so often; by Cauchy and Schwarz the magnitudes add up to no more than the lengths' product
  const longest = tokens.reduce((most, {length}) => Math.max(most, length), 0);
  const perLength = (query.length + 8) * rounding * scale * Math.hypot(...query);
  return scores.map((score, i) => {
    const p = Math.exp(score - logSum);
    const lost =
      (Math.abs(score) + Math.abs(logSum)) * 4 * rounding + 4e-6 + perLength * (tokens[i]!.length + longest);
    return {p, error: p * Math.expm1(lost)};
  });
}
