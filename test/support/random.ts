/**
 * A stream of numbers in [0, 1) determined by its seed (mulberry32, Tommy Ettinger, 2017). The scripts of the goldens draw the same
 * numbers (test/golden/cache/text.py), so it is not the generator of base/random.ts.
 */
export function randomStream(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Numbers of mean 0 and standard deviation `spread`, at most three deviations from 0, determined by their seed. */
export function randomFloats(seed: number, length: number, spread = 1): Float32Array {
  const next = randomStream(seed);
  // the sum of three uniform numbers: near enough to a normal distribution
  return Float32Array.from({length}, () => (2 * (next() + next() + next()) - 3) * spread);
}
