/** Bits of a code. */
export type Width = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 8;

/** Some bits of a code, which one look-up turns into a term of its level. */
export interface Plane {
  readonly bits: 1 | 2 | 4;
  /** float32: the term of each value of these bits. */
  readonly levels: Float32Array;
}

/** The levels of a width in ascending order, as an encoder needs them. */
export interface Levels {
  readonly levels: Float32Array;
  /** The code of each level: the planes' bits, the upper ones first. */
  readonly codes: Uint8Array;
  /** float32: the midpoints between neighbouring levels. The nearest level of x is the one after all midpoints less than x. */
  readonly midpoints: Float32Array;
}

/**
 * The planes of a width, the upper bits of a code first. The sum of their terms, rounded to float32, is the level of a code:
 *
 *     level(upper, lower) = U[upper] + (lower - (2^lowerBits - 1) / 2) * delta
 *
 * So attention reads codes by tables of 16 entries at most, whatever their width. For 1, 2 and 4 bits (one plane) the levels are
 * those of Lloyd and Max for a standard normal number; for the others U and delta minimise the mean squared error together, and
 * the levels of different upper bits may interleave.
 */
export const planesOf = (width: Width): readonly Plane[] => tables.get(width)!.planes;

/** The levels of a width in ascending order. */
export const levelsOf = (width: Width): Levels => tables.get(width)!.sorted;

/** The mean squared error of codes of a width for standard normal numbers. */
export const meanSquaredErrorOf = (width: Width): number => quantizers[width].meanSquaredError;

/** The level of the terms that the planes of one code have. */
export function levelOf(terms: readonly number[]): number {
  return terms.reduce((sum, term) => Math.fround(sum + term), 0);
}

/** The index of the level nearest to x in `levels`; of two as near, the lower one. */
export function nearestLevel({midpoints}: Levels, x: number): number {
  let [from, to] = [0, midpoints.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (midpoints[middle]! < x) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Whether something is a number of bits that codes may have. */
export const isWidth = (given: unknown): given is Width => typeof given === 'number' && given in quantizers;

/** A quantiser of standard normal numbers, symmetric around 0. */
interface Quantizer {
  /** Bits of each plane, the upper ones first. */
  readonly bits: readonly (1 | 2 | 4)[];
  /** The positive half of U, ascending. */
  readonly upper: readonly number[];
  /** The distance of the lower plane's terms. */
  readonly delta?: number;
  readonly meanSquaredError: number;
}

/**
 * Terms of levels are multiples of this, so that kernels add and multiply them exactly, as integers of 16 bits. Rounding the optimal
 * terms to it makes the mean squared error of 8 bits 0.04 % larger, and others less than 0.01 %.
 */
export const levelUnit = 2 ** -10;

/** Found by tools/lloyd_max_levels.py. */
const quantizers: Readonly<Record<Width, Quantizer>> = {
  0: {bits: [], upper: [], meanSquaredError: 1},
  1: {bits: [1], upper: [0.797884561], meanSquaredError: 0.363380228},
  2: {bits: [2], upper: [0.452780035, 1.510417609], meanSquaredError: 0.117481848},
  3: {bits: [2, 1], upper: [0.537220285, 1.439284433], delta: 1.49630815, meanSquaredError: 0.0352671311},
  4: {
    bits: [4],
    upper: [
      0.12839503, 0.3880483, 0.656759119, 0.942340457, 1.256231197, 1.618046386, 2.069017227, 2.732589571,
    ],
    meanSquaredError: 0.00950100801,
  },
  5: {
    bits: [4, 1],
    upper: [
      0.063121805, 0.189681236, 0.824484898, 0.983278844, 1.150252903, 1.837540241, 2.079790955, 2.955801161,
    ],
    delta: 0.495242409,
    meanSquaredError: 0.0025638632,
  },
  6: {
    bits: [4, 2],
    upper: [
      0.077986114, 0.266776961, 0.424553753, 0.725150413, 1.064971063, 1.265271134, 1.836119666, 2.412894527,
    ],
    delta: 0.920339114,
    meanSquaredError: 0.000701340399,
  },
  8: {
    bits: [4, 4],
    upper: [
      0.35720486, 0.507012457, 0.548438328, 0.611364804, 0.693177451, 1.02287552, 1.354015134, 2.358899932,
    ],
    delta: 0.294987043,
    meanSquaredError: 4.79933749e-5,
  },
};

/** Every width, ascending. */
export const allWidths: readonly Width[] = [0, 1, 2, 3, 4, 5, 6, 8];

const tables = new Map(allWidths.map(width => [width, tablesOf(quantizers[width])]));

function tablesOf({bits, upper, delta = 0}: Quantizer): {planes: readonly Plane[]; sorted: Levels} {
  const step = inUnits(delta, 2 * levelUnit); // terms of the lower plane are half multiples of it
  const stretch = delta === 0 ? 1 : step / delta; // levels that interleave have to keep their order
  const rounded = upper.map(level => inUnits(level * stretch, levelUnit));
  const symmetric = [...rounded.map(level => -level).reverse(), ...rounded];
  const planes = bits.map((planeBits, index) => {
    const steps = Array.from({length: 2 ** planeBits}, (_, value) => value - (2 ** planeBits - 1) / 2);
    return {
      bits: planeBits,
      levels: Float32Array.from(index === 0 ? symmetric : steps.map(count => count * step)),
    };
  });
  return {planes, sorted: sortedLevels(planes)};
}

function inUnits(level: number, unit: number): number {
  return Math.round(level / unit) * unit;
}

function sortedLevels(planes: readonly Plane[]): Levels {
  let all = [{code: 0, level: 0}];
  for (const {bits, levels} of planes) {
    all = all.flatMap(({code, level}) =>
      Array.from(levels, (term, value) => ({code: (code << bits) | value, level: levelOf([level, term])})),
    );
  }
  all.sort((a, b) => a.level - b.level);
  const levels = Float32Array.from(all, ({level}) => level);
  return {
    levels,
    codes: Uint8Array.from(all, ({code}) => code),
    midpoints: levels.slice(1).map((level, i) => (level + levels[i]!) / 2),
  };
}
