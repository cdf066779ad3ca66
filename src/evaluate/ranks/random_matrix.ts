import {InvalidArgumentError} from '../../../base/errors.js';

/** Steps of the numerical integration; enough for five digits. */
const steps = 2000;

/**
 * Returns the effective rank of a large matrix of independent random numbers, as a share of its full rank: the baseline of a matrix
 * without structure. By the law of Marchenko and Pastur (1967) its squared singular values are 1 + g + 2 sqrt(g) cos(t), where g is the
 * shorter side over the longer one. Those from 0 to t hold the share (t - sin t cos t) / pi of the energy, for any g. Their share in
 * number is
 *
 *     2 / pi * integral from 0 to t of sin^2 u / (1 + g + 2 sqrt(g) cos u) du
 *
 * Square matrices have many small singular values (0.77 of them hold 0.99 of the energy); oblong ones have fewer (0.95 of them at a ratio
 * of 3:1 or 1:3).
 *
 * @param energy share of the sum of squared singular values, in (0, 1].
 * @throws InvalidArgumentError if a size or the energy is out of range.
 */
export function randomRankShare(rows: number, columns: number, energy: number): number {
  if (!(rows >= 1 && columns >= 1 && energy > 0 && energy <= 1)) {
    throw new InvalidArgumentError(
      `rows = ${rows}, columns = ${columns}, energy = ${energy}; expected sizes >= 1 and an energy in (0, 1].`,
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

/** Solves (t - sin t cos t) / pi = energy for t by bisection. */
function angleOfEnergy(energy: number): number {
  let [low, high] = [0, Math.PI];
  for (let halving = 0; halving < 60; halving++) {
    const middle = (low + high) / 2;
    if ((middle - Math.sin(middle) * Math.cos(middle)) / Math.PI < energy) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
