/** The gradient of f at x by central differences, in double precision. */
export function numericGradient(f: (x: Float64Array) => number, x: Float64Array, step = 1e-5): Float64Array {
  return x.map((value, i) => {
    const at = (moved: number) => f(x.with(i, moved));
    return (at(value + step) - at(value - step)) / (2 * step);
  });
}
