import {addScaled64, dot64} from '../rows64.js';

/** A column of Q, and the row of R that it is multiplied by. */
interface Factors {
  readonly q: Float64Array;
  readonly r: Float64Array;
}

/**
 * QR decomposition of one matrix in float64, on the host, by Householder reflections (Golub and Van Loan, Matrix Computations, 5.2): its
 * min(rows, columns) columns of Q and rows of R, with a diagonal that is not negative.
 *
 * @param matrix `[rows, columns]`, row-major, of finite numbers whose squares do not overflow.
 */
export function qr64(matrix: ArrayLike<number>, rows: number, columns: number): Factors[] {
  const count = Math.min(rows, columns);
  const turned = Array.from({length: columns}, (_, j) =>
    Float64Array.from({length: rows}, (__, i) => matrix[i * columns + j]!),
  );
  const reflectors = Array.from({length: count}, (_, k) => {
    const reflector = reflectorOf(turned[k]!, k);
    for (const column of turned.slice(k)) reflect(column, reflector);
    return reflector;
  });
  return Array.from({length: count}, (_, i) => {
    const q = new Float64Array(rows).fill(1, i, i + 1);
    for (const reflector of reflectors.toReversed()) reflect(q, reflector);
    const sign = turned[i]![i]! < 0 ? -1 : 1;
    return {
      q: q.map(x => sign * x),
      r: Float64Array.from({length: columns}, (__, j) => (j < i ? 0 : sign * turned[j]![i]!)),
    };
  });
}

/** The unit vector along which a reflection leaves nothing of a column below its k-th number; zeros if nothing is there already. */
function reflectorOf(column: Float64Array, k: number): Float64Array {
  const reflector = column.slice().fill(0, 0, k);
  const norm = Math.sqrt(dot64(reflector, reflector));
  if (norm === 0) return reflector;
  reflector[k]! += reflector[k]! > 0 ? norm : -norm;
  const size = Math.sqrt(dot64(reflector, reflector));
  return reflector.map(x => x / size);
}

/** x -= 2 v (v . x). */
function reflect(x: Float64Array, v: Float64Array): void {
  addScaled64(x, -2 * dot64(x, v), v);
}
