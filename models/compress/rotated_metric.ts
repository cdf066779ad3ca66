import {InvalidArgumentError} from '../../base/errors.js';
import {type RopeConfig, ropeFrequencies} from '../../ops/rotate/rope.js';

/** How far attention is assumed to look back: equally over all distances, or less with distance. */
export type DistanceWeights = 'uniform' | 'falling';

/** Distances that are averaged over: after eight times the decay of `falling` almost nothing is left. */
const distances = 512;
/** Tokens after which a distance weighs 1/e; chosen by a measurement beside `uniform`. */
const decayTokens = 64;

/**
 * The metric of keys that are stored before their rotation. The score of a query at position n and a key at position m is
 * `q R_D k^T` with D = n - m, so the metric of unrotated keys is that of the queries, rotated by every distance:
 *
 *     M = sum_D p(D) R_D^T C_Q R_D          p uniform over 0 .. 511, or p ~ exp(-D / 64)
 *
 * @returns a function from C_Q `[dim, dim]`, row-major, to M. Its tables depend on the rotation only.
 * @throws InvalidArgumentError if the rotation does not fit heads of this dim.
 */
export function rotatedMetric(
  rope: RopeConfig,
  dim: number,
  weights: DistanceWeights = 'falling',
): (queries: ArrayLike<number>) => Float64Array {
  const {partner, turns} = channelTurns(rope, dim);
  const chances = distanceChances(weights);
  const expectation = (f: (angle: number) => number, g: (angle: number) => number) => {
    const table = new Float64Array(dim * dim);
    chances.forEach((chance, distance) => {
      const [left, right] = [f, g].map(of => turns.map(turn => of(distance * turn)));
      for (let c = 0; c < dim; c++) {
        const weight = chance * left![c]!;
        for (let e = 0; e < dim; e++) table[c * dim + e]! += weight * right![e]!;
      }
    });
    return table;
  };
  const cosCos = expectation(Math.cos, Math.cos);
  const cosSin = expectation(Math.cos, Math.sin);
  const sinSin = expectation(Math.sin, Math.sin);
  return queries => {
    if (queries.length !== dim * dim) {
      throw new InvalidArgumentError(
        `The queries' Gram matrix has ${queries.length} numbers; expected ${dim * dim} for heads of ${dim}.`,
      );
    }
    const out = new Float64Array(dim * dim);
    for (let c = 0; c < dim; c++) {
      for (let e = 0; e < dim; e++) {
        const [pc, pe] = [partner[c]!, partner[e]!];
        out[c * dim + e] =
          cosCos[c * dim + e]! * queries[c * dim + e]! +
          cosSin[c * dim + e]! * queries[c * dim + pe]! +
          cosSin[e * dim + c]! * queries[pc * dim + e]! +
          sinSin[c * dim + e]! * queries[pc * dim + pe]!;
      }
    }
    return out;
  };
}

/**
 * The rotation channel by channel: `(x R)_c = x_c cos(D turn_c) + x_partner(c) sin(D turn_c)`, with turn in radians per token. The
 * channels of a pair have opposite turns; channels that do not rotate are their own partners and have turn 0.
 */
function channelTurns(rope: RopeConfig, dim: number): {partner: Int32Array; turns: Float64Array} {
  const {frequencies} = ropeFrequencies(rope, dim);
  const pairs = frequencies.length;
  const partner = Int32Array.from({length: dim}, (_, channel) => channel);
  const turns = new Float64Array(dim);
  frequencies.forEach((frequency, pair) => {
    const [a, b] = rope.interleaved === true ? [2 * pair, 2 * pair + 1] : [pair, pair + pairs];
    partner[a] = b;
    partner[b] = a;
    turns[a] = -frequency; // a' = a cos - b sin
    turns[b] = frequency; // b' = b cos + a sin
  });
  return {partner, turns};
}

function distanceChances(weights: DistanceWeights): Float64Array {
  const raw = Float64Array.from({length: distances}, (_, distance) =>
    weights === 'uniform' ? 1 : Math.exp(-distance / decayTokens),
  );
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  return raw.map(weight => weight / total);
}
