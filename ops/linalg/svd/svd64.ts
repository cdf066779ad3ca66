import {leadingIndex} from '../float64.js';
import {dot64, rotate64} from '../rows64.js';

/** A singular value with its vectors. */
interface Triplet {
  readonly u: Float64Array;
  readonly s: number;
  readonly v: Float64Array;
}

/** Of float64. */
const epsilon = Number.EPSILON;
/** Sixty are never reached: Jacobi takes about ten. */
const mostSweeps = 60;

/**
 * Singular value decomposition of one matrix in float64, on the host, by one-sided Jacobi (Hestenes, 1958): its min(rows, columns) triplets, the
 * largest s first.
 *
 * @param matrix `[rows, columns]`, row-major, of finite numbers.
 */
export function svd64(matrix: ArrayLike<number>, rows: number, columns: number): Triplet[] {
  const tall = rows >= columns;
  const count = Math.min(rows, columns);
  // what is turned: the columns of a tall matrix, the rows of a wide one
  const turned = Array.from({length: count}, (_, i) =>
    Float64Array.from({length: Math.max(rows, columns)}, (__, j) =>
      tall ? matrix[j * columns + i]! : matrix[i * columns + j]!,
    ),
  );
  const vectors = turned.map((_, i) => new Float64Array(count).fill(1, i, i + 1));
  for (let sweep = 0; sweep < mostSweeps && !orthogonalize(turned, vectors); sweep++);
  const found = turned
    .map((row, i) => ({row, vector: vectors[i]!, s: Math.sqrt(dot64(row, row))}))
    .sort((a, b) => b.s - a.s);
  const units = unitVectors(found);
  return found.map(({vector, s}, i) => {
    const [u, v] = tall ? [units[i]!, vector] : [vector, units[i]!];
    const sign = v[leadingIndex(v)]! < 0 ? -1 : 1;
    return {u: u.map(x => sign * x), s, v: v.map(x => sign * x)};
  });
}

/** Turns each pair of rows once, and the vectors with them; true if all were orthogonal. Rows of rounding errors stay as they are. */
function orthogonalize(rows: readonly Float64Array[], vectors: readonly Float64Array[]): boolean {
  const squares = rows.map(row => dot64(row, row));
  const noise = Math.max(...squares) * (epsilon * rows[0]!.length) ** 2;
  let done = true;
  for (let i = 0; i < rows.length; i++) {
    for (let j = i + 1; j < rows.length; j++) {
      const [a, b] = [squares[i]!, squares[j]!];
      if (a <= noise || b <= noise) continue;
      const product = dot64(rows[i]!, rows[j]!);
      if (!(Math.abs(product) > 1e-12 * Math.sqrt(a) * Math.sqrt(b))) continue;
      done = false;
      const ratio = (b - a) / (2 * product);
      const tangent = (ratio < 0 ? -1 : 1) / (Math.abs(ratio) + Math.sqrt(1 + ratio * ratio));
      const cosine = 1 / Math.sqrt(1 + tangent * tangent);
      rotate64(rows[i]!, rows[j]!, cosine, cosine * tangent);
      rotate64(vectors[i]!, vectors[j]!, cosine, cosine * tangent);
      squares[i] = a - tangent * product;
      squares[j] = b + tangent * product;
    }
  }
  return done;
}

/** Rows divided by their lengths s, descending. Those of rounding errors become some unit vectors that are orthogonal to all others. */
function unitVectors(found: readonly {readonly row: Float64Array; readonly s: number}[]): Float64Array[] {
  const units: Float64Array[] = [];
  for (const {row, s} of found) {
    const unit = row.map(x => (s > 0 ? x / s : 0));
    const isNoise = s <= found[0]!.s * epsilon * row.length;
    units.push(
      isNoise ? (orthogonalTo(units, unit) ?? orthogonalTo(units, outermostAxis(units, unit.length))!) : unit,
    );
  }
  return units;
}

/** A vector of length 1 less its parts along others, as a unit vector; undefined if they are nearly all of it. */
function orthogonalTo(others: readonly Float64Array[], vector: Float64Array): Float64Array | undefined {
  for (let pass = 0; pass < 2; pass++) {
    for (const other of others) {
      const along = dot64(vector, other);
      vector = vector.map((x, i) => x - along * other[i]!);
    }
    const size = Math.sqrt(dot64(vector, vector));
    if (!(size > 1e-6)) return undefined;
    vector = vector.map(x => x / size);
  }
  return vector;
}

/** The unit vector along the axis of which the least lies in the span of orthonormal vectors. */
function outermostAxis(vectors: readonly Float64Array[], length: number): Float64Array {
  const within = Array.from({length}, (_, axis) =>
    vectors.reduce((sum, vector) => sum + vector[axis]! ** 2, 0),
  );
  const axis = within.indexOf(Math.min(...within));
  return new Float64Array(length).fill(1, axis, axis + 1);
}
