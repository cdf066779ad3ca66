// Symmetric eigendecomposition in float64: Householder's tridiagonal form, then implicit QL (Golub and Van Loan, 8.3;
// EISPACK's tred2 and tql2). Every inner loop runs along rows, two numbers a step: the reflectors are taken from the last
// row up, so that the rows still to be reduced start at column 0, and eigenvectors are rows from the start.
//
// Scratch, in float64 and for the padded width w = dim rounded up to even:
//   matrix [dim, w], then diagonal, offDiagonal, image, halfNorms, cosines, sines, each [w], and order int32 [dim].
// The last five are handed on as one `workspace`.

/** An off-diagonal number below this share of the matrix's norm counts as zero. Input and output are float32 (6e-8). */
const negligible: f64 = 1e-13;
/** QL takes fewer than two sweeps an eigenvalue; 60 is never reached but by a defect, and then the result is NaN. */
const mostSweeps: i32 = 60;

/** Bytes of scratch memory. */
export function eighScratch(dim: i32): usize {
  return <usize>(dim + 6) * rowBytesOf(dim) + ((<usize>dim) << 2);
}

/** Bytes of a row of the padded width. */
export function rowBytesOf(dim: i32): usize {
  return (<usize>((dim + 1) & ~1)) << 3;
}

/** x [count, dim, dim] -> out [count, dim + 1, dim]: eigenvalues, descending, then the eigenvectors as rows. */
export function eigh(x: usize, out: usize, scratch: usize, count: i32, dim: i32): void {
  const rowBytes = rowBytesOf(dim);
  const diagonal = scratch + <usize>dim * rowBytes;
  const order = diagonal + 6 * rowBytes;
  for (let n = 0; n < count; n++) {
    if (loadSymmetric(x, scratch, dim, rowBytes) && decompose(scratch, dim, rowBytes, diagonal)) {
      sortDescending(diagonal, order, dim);
      storeResult(scratch, dim, rowBytes, diagonal, order, out);
    } else {
      for (let i: usize = 0; i < (<usize>(dim * (dim + 1))) << 2; i += 4) store<f32>(out + i, NaN);
    }
    x += (<usize>(dim * dim)) << 2;
    out += (<usize>(dim * (dim + 1))) << 2;
  }
}

/**
 * Of a symmetric matrix whose lower triangle is set: its eigenvectors as the rows of `matrix`, in the order of their eigenvalues in
 * `diagonal`, the first of six arrays [w]. False if it does not converge.
 */
export function decompose(matrix: usize, dim: i32, rowBytes: usize, diagonal: usize): bool {
  const offDiagonal = diagonal + rowBytes;
  const workspace = offDiagonal + rowBytes;
  tridiagonalize(matrix, dim, rowBytes, diagonal, offDiagonal, workspace);
  accumulateReflectors(matrix, dim, rowBytes, workspace);
  return diagonalize(matrix, dim, rowBytes, diagonal, offDiagonal, workspace);
}

/** (x + x^T) / 2 in float64, pad column zero; false if a number is not finite. */
function loadSymmetric(x: usize, matrix: usize, dim: i32, rowBytes: usize): bool {
  let check: f64 = 0;
  for (let i = 0; i < dim; i++) {
    const row = matrix + <usize>i * rowBytes;
    for (let j = 0; j <= i; j++) {
      const value =
        0.5 *
        (<f64>load<f32>(x + ((<usize>(i * dim + j)) << 2)) + <f64>load<f32>(x + ((<usize>(j * dim + i)) << 2)));
      check += value * 0; // NaN once a number is NaN or infinite
      store<f64>(row + ((<usize>j) << 3), value);
    }
    for (let at = row + ((<usize>(i + 1)) << 3); at < row + rowBytes; at += 8) store<f64>(at, 0);
  }
  return check == 0;
}

/**
 * A = Q T Q^T with Q = H_{dim-1} .. H_1 and H_k = I - v_k v_k^T / h_k. Reads and changes the lower triangle. Leaves v_k in
 * row k, h_k in halfNorms (0: no reflection), and T in diagonal and offDiagonal, offDiagonal[k] = T[k, k-1].
 */
function tridiagonalize(
  matrix: usize,
  dim: i32,
  rowBytes: usize,
  diagonal: usize,
  offDiagonal: usize,
  workspace: usize,
): void {
  const image = workspace;
  const halfNorms = workspace + rowBytes;
  for (let k = dim - 1; k > 0; k--) {
    const reflector = matrix + <usize>k * rowBytes;
    const last = reflector + ((<usize>(k - 1)) << 3);
    store<f64>(diagonal + ((<usize>k) << 3), load<f64>(reflector + ((<usize>k) << 3)));
    store<f64>(reflector + ((<usize>k) << 3), 0); // pads v to even length
    const lastValue = load<f64>(last);
    let squares: f64 = 0;
    for (let at = reflector; at < last; at += 8) squares += load<f64>(at) * load<f64>(at);
    if (squares == 0) {
      store<f64>(offDiagonal + ((<usize>k) << 3), lastValue);
      store<f64>(halfNorms + ((<usize>k) << 3), 0);
      continue;
    }
    const norm = sqrt(squares + lastValue * lastValue);
    const signed = lastValue > 0 ? norm : -norm;
    store<f64>(offDiagonal + ((<usize>k) << 3), -signed);
    store<f64>(last, lastValue + signed);
    const half = norm * (norm + abs(lastValue)); // v.v / 2
    store<f64>(halfNorms + ((<usize>k) << 3), half);
    reflectBothSides(matrix, k, rowBytes, reflector, half, image);
  }
  store<f64>(diagonal, load<f64>(matrix));
  store<f64>(offDiagonal, 0);
  store<f64>(halfNorms, 0);
}

/** H A H on the leading size x size lower triangle: p = A v / h, w = p - (p.v / 2h) v, A -= v w^T + w v^T. */
function reflectBothSides(
  matrix: usize,
  size: i32,
  rowBytes: usize,
  v: usize,
  half: f64,
  w: usize,
): void {
  const end = (<usize>(((size + 1) & ~1))) << 3;
  memory.fill(w, 0, end);
  for (let i = 0; i < size; i++) {
    // row i of the triangle gives A[i, :i] . v and, mirrored, A[:i, i] v_i; the pair at the diagonal is done alone
    const row = matrix + <usize>i * rowBytes;
    const whole = ((<usize>(i & ~1)) << 3);
    const vi = load<f64>(v + ((<usize>i) << 3));
    const vis = f64x2.splat(vi);
    let sums = f64x2.splat(0);
    for (let j: usize = 0; j < whole; j += 16) {
      const a = v128.load(row + j);
      sums = f64x2.add(sums, f64x2.mul(a, v128.load(v + j)));
      v128.store(w + j, f64x2.add(v128.load(w + j), f64x2.mul(a, vis)));
    }
    let sum = f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1);
    if (i & 1) {
      const a = load<f64>(row + whole);
      sum += a * load<f64>(v + whole);
      store<f64>(w + whole, load<f64>(w + whole) + a * vi);
    }
    const own = w + ((<usize>i) << 3);
    store<f64>(own, load<f64>(own) + sum + load<f64>(row + ((<usize>i) << 3)) * vi);
  }
  const inverse = 1 / half;
  let along = f64x2.splat(0);
  for (let j: usize = 0; j < end; j += 16) {
    const p = f64x2.mul(v128.load(w + j), f64x2.splat(inverse));
    along = f64x2.add(along, f64x2.mul(p, v128.load(v + j)));
    v128.store(w + j, p);
  }
  const factor = f64x2.splat(
    -0.5 * inverse * (f64x2.extract_lane(along, 0) + f64x2.extract_lane(along, 1)),
  );
  for (let j: usize = 0; j < end; j += 16) {
    v128.store(w + j, f64x2.add(v128.load(w + j), f64x2.mul(factor, v128.load(v + j))));
  }
  for (let i = 0; i < size; i++) {
    const row = matrix + <usize>i * rowBytes;
    const vi = v128.load64_splat(v + ((<usize>i) << 3));
    const wi = v128.load64_splat(w + ((<usize>i) << 3));
    for (let j: usize = 0; j <= (<usize>i) << 3; j += 16) {
      const change = f64x2.add(f64x2.mul(vi, v128.load(w + j)), f64x2.mul(wi, v128.load(v + j)));
      v128.store(row + j, f64x2.sub(v128.load(row + j), change));
    }
  }
}

/** Overwrites the reflectors by Q^T = H_1 .. H_{dim-1}: of H_1 .. H_k only the leading k x k block is not the identity. */
function accumulateReflectors(matrix: usize, dim: i32, rowBytes: usize, workspace: usize): void {
  const halfNorms = workspace + rowBytes;
  for (let k = 0; k < dim; k++) {
    const v = matrix + <usize>k * rowBytes;
    const end = (<usize>(((k + 1) & ~1))) << 3;
    const half = load<f64>(halfNorms + ((<usize>k) << 3));
    if (half != 0) {
      const inverse = 1 / half;
      for (let i = 0; i < k; i++) {
        const row = matrix + <usize>i * rowBytes;
        let sums = f64x2.splat(0);
        for (let j: usize = 0; j < end; j += 16) {
          sums = f64x2.add(sums, f64x2.mul(v128.load(row + j), v128.load(v + j)));
        }
        const factor = f64x2.splat(
          inverse * (f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1)),
        );
        for (let j: usize = 0; j < end; j += 16) {
          v128.store(row + j, f64x2.sub(v128.load(row + j), f64x2.mul(factor, v128.load(v + j))));
        }
      }
    }
    // now row k is the unit vector e_k, and so is column k
    memory.fill(v, 0, rowBytes);
    store<f64>(v + ((<usize>k) << 3), 1);
    for (let i = 0; i < k; i++) store<f64>(matrix + <usize>i * rowBytes + ((<usize>k) << 3), 0);
  }
}

/** Implicit QL with Wilkinson's shift; the rows of `vectors` are rotated as well. False if it does not converge. */
function diagonalize(
  vectors: usize,
  dim: i32,
  rowBytes: usize,
  diagonal: usize,
  offDiagonal: usize,
  workspace: usize,
): bool {
  const cosines = workspace + 2 * rowBytes;
  const sines = cosines + rowBytes;
  let norm: f64 = 0;
  for (let at: usize = 0; at < (<usize>dim) << 3; at += 8) {
    norm = max(norm, abs(load<f64>(diagonal + at)) + abs(load<f64>(offDiagonal + at)));
  }
  const threshold = negligible * norm;
  // offDiagonal[i] = T[i, i-1] moves to T[i+1, i], as the sweep wants it
  memory.copy(offDiagonal, offDiagonal + 8, (<usize>(dim - 1)) << 3);
  store<f64>(offDiagonal + ((<usize>(dim - 1)) << 3), 0);

  for (let first = 0; first < dim; first++) {
    for (let sweeps = 0; ; sweeps++) {
      let last = first;
      while (last < dim - 1 && abs(load<f64>(offDiagonal + ((<usize>last) << 3))) > threshold) last++;
      if (last == first) break;
      if (sweeps == mostSweeps) return false;
      const from = sweep(first, last, diagonal, offDiagonal, cosines, sines);
      turnRows(vectors, from, last, rowBytes, cosines, sines);
    }
  }
  return true;
}

/** One QL sweep over rows first .. last of T. Rotation i combines rows i and i + 1; returns the lowest i that was done. */
function sweep(first: i32, last: i32, d: usize, e: usize, cosines: usize, sines: usize): i32 {
  const atFirst = (<usize>first) << 3;
  const atLast = (<usize>last) << 3;
  const d0 = load<f64>(d + atFirst);
  const e0 = load<f64>(e + atFirst);
  let g = (load<f64>(d + atFirst, 8) - d0) / (2 * e0);
  let r = sqrt(g * g + 1);
  g = load<f64>(d + atLast) - d0 + e0 / (g + (g >= 0 ? r : -r));
  let s: f64 = 1,
    c: f64 = 1,
    p: f64 = 0;
  for (let i = last - 1; i >= first; i--) {
    const at = (<usize>i) << 3;
    const f = s * load<f64>(e + at);
    const b = c * load<f64>(e + at);
    r = sqrt(f * f + g * g);
    store<f64>(e + at, r, 8);
    if (r == 0) {
      // the matrix splits here: go on with the parts
      store<f64>(d + at, load<f64>(d + at, 8) - p, 8);
      store<f64>(e + atLast, 0);
      return i + 1;
    }
    const inverse = 1 / r;
    s = f * inverse;
    c = g * inverse;
    g = load<f64>(d + at, 8) - p;
    r = (load<f64>(d + at) - g) * s + 2 * c * b;
    p = s * r;
    store<f64>(d + at, g + p, 8);
    g = c * r - b;
    store<f64>(cosines + at, c);
    store<f64>(sines + at, s);
  }
  store<f64>(d + atFirst, d0 - p);
  store<f64>(e + atFirst, g);
  store<f64>(e + atLast, 0);
  return first;
}

/**
 * Applies the rotations last - 1 .. from to the rows, eight columns at a time: the row that two rotations share stays in
 * registers, so each row is read and written once a sweep.
 */
function turnRows(vectors: usize, from: i32, last: i32, rowBytes: usize, cosines: usize, sines: usize): void {
  let column: usize = 0;
  for (; column + 64 <= rowBytes; column += 64) {
    let row = vectors + <usize>last * rowBytes + column;
    let a = v128.load(row),
      b = v128.load(row, 16),
      c = v128.load(row, 32),
      d = v128.load(row, 48);
    for (let i = last - 1; i >= from; i--) {
      const cosine = v128.load64_splat(cosines + ((<usize>i) << 3));
      const sine = v128.load64_splat(sines + ((<usize>i) << 3));
      const above = row - rowBytes;
      const a1 = v128.load(above),
        b1 = v128.load(above, 16),
        c1 = v128.load(above, 32),
        d1 = v128.load(above, 48);
      v128.store(row, f64x2.add(f64x2.mul(sine, a1), f64x2.mul(cosine, a)));
      v128.store(row, f64x2.add(f64x2.mul(sine, b1), f64x2.mul(cosine, b)), 16);
      v128.store(row, f64x2.add(f64x2.mul(sine, c1), f64x2.mul(cosine, c)), 32);
      v128.store(row, f64x2.add(f64x2.mul(sine, d1), f64x2.mul(cosine, d)), 48);
      a = f64x2.sub(f64x2.mul(cosine, a1), f64x2.mul(sine, a));
      b = f64x2.sub(f64x2.mul(cosine, b1), f64x2.mul(sine, b));
      c = f64x2.sub(f64x2.mul(cosine, c1), f64x2.mul(sine, c));
      d = f64x2.sub(f64x2.mul(cosine, d1), f64x2.mul(sine, d));
      row = above;
    }
    v128.store(row, a);
    v128.store(row, b, 16);
    v128.store(row, c, 32);
    v128.store(row, d, 48);
  }
  for (; column < rowBytes; column += 16) {
    let row = vectors + <usize>last * rowBytes + column;
    let a = v128.load(row);
    for (let i = last - 1; i >= from; i--) {
      const cosine = v128.load64_splat(cosines + ((<usize>i) << 3));
      const sine = v128.load64_splat(sines + ((<usize>i) << 3));
      const above = row - rowBytes;
      const a1 = v128.load(above);
      v128.store(row, f64x2.add(f64x2.mul(sine, a1), f64x2.mul(cosine, a)));
      a = f64x2.sub(f64x2.mul(cosine, a1), f64x2.mul(sine, a));
      row = above;
    }
    v128.store(row, a);
  }
}

/** order [dim] int32: the indices of the values from the largest to the smallest. */
export function sortDescending(values: usize, order: usize, dim: i32): void {
  for (let i = 0; i < dim; i++) {
    const value = load<f64>(values + ((<usize>i) << 3));
    let at = order + ((<usize>i) << 2);
    while (at > order && load<f64>(values + ((<usize>load<i32>(at - 4)) << 3)) < value) {
      store<i32>(at, load<i32>(at - 4));
      at -= 4;
    }
    store<i32>(at, i);
  }
}

/** Writes values and vectors as float32; the first component within 1e-5 of the largest magnitude is made positive. */
function storeResult(vectors: usize, dim: i32, rowBytes: usize, values: usize, order: usize, out: usize): void {
  for (let i = 0; i < dim; i++) {
    const index = load<i32>(order + ((<usize>i) << 2));
    store<f32>(out + ((<usize>i) << 2), <f32>load<f64>(values + ((<usize>index) << 3)));
    const row = vectors + <usize>index * rowBytes;
    const to = out + ((<usize>((i + 1) * dim)) << 2);
    storeScaled(row, dim, leadingSign(row, dim), to);
  }
}

/** The sign of the first component within 1e-5 of the largest magnitude. */
export function leadingSign(row: usize, dim: i32): f64 {
  let largest: f64 = 0;
  for (let j = 0; j < dim; j++) largest = max(largest, abs(load<f64>(row + ((<usize>j) << 3))));
  let leading = 0;
  while (abs(load<f64>(row + ((<usize>leading) << 3))) < largest * 0.99999) leading++;
  return load<f64>(row + ((<usize>leading) << 3)) < 0 ? -1 : 1;
}

/** Writes a row of float64 times a factor as float32. */
export function storeScaled(row: usize, count: i32, factor: f64, to: usize): void {
  for (let j = 0; j < count; j++) {
    store<f32>(to + ((<usize>j) << 2), <f32>(factor * load<f64>(row + ((<usize>j) << 3))));
  }
}
