/**
 * Uniform numbers in [0, 1), the same for the same seed on every machine: xoshiro128** (Blackman and Vigna, 2018,
 * arXiv 1805.01407), 32 bits per number, its four words seeded by splitmix32 as its authors advise.
 *
 * @param seed a whole number, of which the lowest 32 bits are used. Default: a random one.
 */
export function seededRandom(seed: number = Math.floor(Math.random() * 2 ** 32)): () => number {
  const next = splitmix32(seed);
  let [a, b, c, d] = [next(), next(), next(), next()];
  return () => {
    const number = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotateLeft(d, 11);
    return number / 2 ** 32;
  };
}

/** The finaliser of MurmurHash3 over a Weyl sequence: neighbouring seeds give unrelated words, none gives only zeros. */
function splitmix32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let word = state;
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return (word ^ (word >>> 16)) >>> 0;
  };
}

const rotateLeft = (word: number, bits: number) => (word << bits) | (word >>> (32 - bits));
