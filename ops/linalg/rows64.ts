// Rows of float64 numbers, on the host.

/** The sum of products of the first `count` numbers. */
export function dot64(a: Float64Array, b: Float64Array, count = a.length): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** a += factor b, in the first `count` numbers. */
export function addScaled64(a: Float64Array, factor: number, b: Float64Array, count = a.length): void {
  for (let i = 0; i < count; i++) a[i]! += factor * b[i]!;
}

/** a, b = cosine a - sine b, sine a + cosine b. */
export function rotate64(a: Float64Array, b: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    a[i] = cosine * x - sine * y;
    b[i] = sine * x + cosine * y;
  }
}
