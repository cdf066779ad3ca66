/** `y = factor * x ^ exponent`. */
export interface PowerLaw {
  readonly factor: number;
  readonly exponent: number;
}

/** The power law nearest to positive points, by least squares of logarithms. One point gives a factor with the exponent 1. */
export function fitPowerLaw(points: readonly (readonly [x: number, y: number])[]): PowerLaw {
  const logs = points.filter(([x, y]) => x > 0 && y > 0).map(([x, y]) => [Math.log(x), Math.log(y)] as const);
  const mean = (side: 0 | 1) => logs.reduce((sum, log) => sum + log[side], 0) / logs.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const spread = logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const along = logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  if (logs.length === 0) return {factor: 1, exponent: 1};
  const exponent = spread > 0 ? along / spread : 1;
  return {factor: Math.exp(meanY - exponent * meanX), exponent};
}

/** The x of a y. */
export const inverse = ({factor, exponent}: PowerLaw, y: number) => (y / factor) ** (1 / exponent);
