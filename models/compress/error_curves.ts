import type {DepthBases} from './depth_bases.js';

/** How the error of one side of one depth falls with its rank. */
export interface Curve {
  readonly depth: number;
  readonly side: 'keys' | 'values';
  /** The predicted squared error for each rank 0 .. dim, all key heads together. */
  readonly errors: Float64Array;
}

/** A curve with what an error of 1 costs, in a unit that all sides share. */
export interface Side extends Curve {
  readonly sensitivity: number;
}

/** The curves of all depths and sides, keys first, relative to the error at rank 0. */
export function errorCurves(bases: readonly DepthBases[]): Curve[] {
  return bases.flatMap((depthBases, depth) =>
    (['keys', 'values'] as const).map(side => {
      const heads = depthBases[side];
      const total = Float64Array.from({length: (heads[0]?.dim ?? 0) + 1}, (_, rank) =>
        heads.reduce((sum, {errors}) => sum + errors[rank]!, 0),
      );
      const whole = total[0]!;
      return {depth, side, errors: whole > 0 ? total.map(error => error / whole) : total};
    }),
  );
}

/** All sides with their costs by gradients, in nats per token. Undefined if the calibration has no gradients. */
export function costedSides(bases: readonly DepthBases[]): Side[] | undefined {
  const sides: Side[] = [];
  for (const curve of errorCurves(bases)) {
    const total = new Float64Array(curve.errors.length);
    for (const {costs} of bases[curve.depth]![curve.side]) {
      if (costs === undefined) return undefined;
      costs.forEach((cost, rank) => (total[rank]! += cost));
    }
    sides.push({...curve, errors: total, sensitivity: 1});
  }
  return sides;
}
