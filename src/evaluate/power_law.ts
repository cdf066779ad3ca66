/** `y = factor * x ^ exponent`. */
export interface PowerLaw {
  readonly factor: number;
  readonly exponent: number;
}

/** A measured y. */
export interface MeasuredOf {
  readonly x: number;
  readonly y: number;
  /** Standard error of y. */
  readonly stderr: number;
}

/** The power law nearest to positive points, by least squares of logarithms. One point gives a factor with the exponent 1. */
export function fitPowerLaw(points: readonly MeasuredOf[]): PowerLaw {
  const {logs, meanX, meanY, spread} = logarithms(points);
  if (logs.length === 0) return {factor: 1, exponent: 1};
  const along = logs.reduce((sum, {x, y}) => sum + (x - meanX) * (y - meanY), 0);
  const exponent = spread > 0 ? along / spread : 1;
  return {factor: Math.exp(meanY - exponent * meanX), exponent};
}

/**
 * The relative standard error of what the fitted power law says of x, from those of the points:
 * `sum_i (1/n + (x - mean) (x_i - mean) / sum_j (x_j - mean)^2)^2 e_i^2`, all x logarithms. It grows with the distance from the points, and
 * the faster the closer they are to one another. Infinity if they do not tell the exponent.
 */
export function errorOfPowerLaw(points: readonly MeasuredOf[], at: number): number {
  const {logs, meanX, spread} = logarithms(points);
  if (spread === 0) return Infinity;
  const distance = Math.log(at) - meanX;
  const squares = logs.map(
    ({x, error}) => ((1 / logs.length + (distance * (x - meanX)) / spread) * error) ** 2,
  );
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0));
}

/** The x of a y. */
export const inverse = ({factor, exponent}: PowerLaw, y: number) => (y / factor) ** (1 / exponent);

/** Logarithms of positive points, with their means. */
function logarithms(points: readonly MeasuredOf[]) {
  const logs = points
    .filter(({x, y}) => x > 0 && y > 0)
    .map(({x, y, stderr}) => ({x: Math.log(x), y: Math.log(y), error: stderr / y}));
  const mean = (of: 'x' | 'y') => logs.reduce((sum, log) => sum + log[of], 0) / logs.length;
  const [meanX, meanY] = [mean('x'), mean('y')];
  return {logs, meanX, meanY, spread: logs.reduce((sum, {x}) => sum + (x - meanX) ** 2, 0)};
}
