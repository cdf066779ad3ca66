/** A number by its token, its channel and a random number of unit variance. */
export type MakeNumber = (token: number, channel: number, random: number) => number;

/** Numbers for which naive formulas overflow, underflow, divide by zero or lose all digits. */
export const extremes: Readonly<Record<string, MakeNumber>> = {
  '1e30': (_t, _c, random) => 1e30 * random,
  '1e-30': (_t, _c, random) => 1e-30 * random,
  'from 1e-30 to 1e30': (t, c, random) => random * 10 ** (((7 * t + 13 * c) % 61) - 30),
  'both signs of 1e36': (t, c) => ((t + c) % 2 === 0 ? 1e36 : -1e36), // sums over a head fit float32 up to there
  constants: () => -3.7,
  'one huge outlier': (t, c, random) => (t === 1 && c === 5 ? 1e20 : random),
  'one outlying token': (t, _c, random) => (t === 0 ? 1e6 : 1) * random,
  'one outlying channel': (_t, c, random) => (c === 3 ? 1e6 : 1) * random,
  'a small spread far from 0': (_t, _c, random) => 1e6 + random,
  'denormal numbers': (_t, _c, random) => 1e-40 * random,
  'zeros of both signs': (t, c) => ((t + c) % 2 === 0 ? 0 : -0),
  'powers of two': (t, c) => 2 ** (((5 * t + 3 * c) % 30) - 15),
};
