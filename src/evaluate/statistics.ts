/** The middle one by size; the mean of the two middle ones where they are even in number. NaN of none. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? NaN)) / 2;
}

export function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

/** The standard error of a mean: s / sqrt(n), s^2 = sum (x - mean)^2 / (n - 1). It takes the numbers as independent. */
export function standardError(numbers: readonly number[]): number {
  const center = mean(numbers);
  const squares = numbers.reduce((sum, number) => sum + (number - center) ** 2, 0);
  return Math.sqrt(squares / (numbers.length - 1) / numbers.length);
}

/**
 * Perplexity exp(mean nll) and its standard error by the delta method: exp(mean nll) times that of the mean.
 * @param nlls negative log-likelihoods, nats a token.
 */
export function perplexityOf(nlls: readonly number[]): {perplexity: number; perplexityStderr: number} {
  const perplexity = Math.exp(mean(nlls));
  return {perplexity, perplexityStderr: perplexity * standardError(nlls)};
}
