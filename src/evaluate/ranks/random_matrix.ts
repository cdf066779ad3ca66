import {InvalidArgumentError} from '../../../base/errors.js';

/** Steps of the integral: enough for five digits. */
const steps = 2000;

/**
 * The effective rank of a large matrix of independent random numbers as a share of its full rank: what a matrix without
 * any structure would show. By the law of Marchenko and Pastur (1967) its squared singular values are
 * 1 + g + 2 sqrt(g) cos(t) with the shorter side over the longer one as g, and the energy of those from 0 to t is
 * (t - sin t cos t) / pi, whatever g; the share of their number is
 *
 *     2 / pi * integral from 0 to t of sin^2 u / (1 + g + 2 sqrt(g) cos u) du
 *
 * Square matrices have many small singular values (0.99 of the energy in 0.77 of them), oblong ones fewer (0.95 at three to one, or one to three).
 *
 * @param energy above 0, at most 1.
 * @throws InvalidArgumentError for sizes or an energy that are not that.
 */
export function randomRankShare(rows: number, columns: number, energy: number): number {
  if (!(rows >= 1 && columns >= 1 && energy > 0 && energy <= 1)) {
    throw new InvalidArgumentError(
      `rows = ${rows}, columns = ${columns}, energy = ${energy}; expected sizes from 1 on and an energy above 0, at most 1.`,
    );
  }
  const g = Math.min(rows, columns) / Math.max(rows, columns);
  const end = angleOfEnergy(energy);
  const width = end / steps;
  let sum = 0;
  for (let step = 0; step < steps; step++) {
    const t = (step + 0.5) * width; // midpoints: the integrand of a square matrix is 0 / 0 at pi
    sum += Math.sin(t) ** 2 / (1 + g + 2 * Math.sqrt(g) * Math.cos(t));
  }
  return (2 / Math.PI) * sum * width;
}

/** The t with (t - sin t cos t) / pi = energy, by halving. */
function angleOfEnergy(energy: number): number {
  let [low, high] = [0, Math.PI];
  for (let halving = 0; halving < 60; halving++) {
    const middle = (low + high) / 2;
    if ((middle - Math.sin(middle) * Math.cos(middle)) / Math.PI < energy) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
