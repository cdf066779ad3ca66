import {randomStream} from './random.js';

/** A matrix of test/golden/linalg/decompositions.json; the script that made it makes the same one. */
export interface SpectralMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly kind: string;
  readonly symmetric: boolean;
  /** Ten to this power is the ratio of the first to the last number of the spectrum, or column. */
  readonly decades: number;
  readonly scale: number;
  readonly seed: number;
}

/**
 * `scale H_u D H_v` with reflections H along random whole numbers, rounded to float32. `kind` says what D is:
 * spectrum: falls by `decades`; gap: the same down to a quarter of the numbers, then zeros; equal: ones; and columns: D = 1, but the
 * columns of the matrix fall by `decades`. Of a symmetric one v = u, and every third number is negative.
 */
export function spectralMatrix(of: SpectralMatrix): Float32Array {
  const {rows, columns, kind, symmetric, decades, scale, seed} = of;
  const next = randomStream(seed);
  const vector = (length: number) => Array.from({length}, () => Math.floor(next() * 9) - 4);
  const u = vector(rows);
  const v = symmetric ? u : vector(columns);
  const [alpha, beta] = [u, v].map(numbers => 2 / Math.max(1, dot(numbers, numbers))) as [number, number];
  const count = Math.min(rows, columns);
  const falling = (i: number, of: number) => 10 ** ((-decades * i) / Math.max(1, of - 1));
  const d = Array.from({length: count}, (_, i) => {
    const sign = symmetric && i % 3 === 2 ? -1 : 1;
    if (kind === 'equal' || kind === 'columns') return sign;
    return kind === 'gap' && i >= count / 4 ? 0 : sign * falling(i, count);
  });
  const middle = d.reduce((sum, value, i) => sum + u[i]! * value * v[i]!, 0);
  return Float32Array.from({length: rows * columns}, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    const own = i === j ? d[i]! : 0;
    const left = j < count ? alpha * u[i]! * (u[j]! * d[j]!) : 0;
    const right = i < count ? beta * (d[i]! * v[i]!) * v[j]! : 0;
    const value = own - left - right + alpha * beta * u[i]! * middle * v[j]!;
    return scale * value * (kind === 'columns' ? falling(j, columns) : 1);
  });
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
