import {seededRandom} from '../../../base/random.js';

/**
 * An orthonormal matrix `[count, count]` that spreads each channel over all: Hadamard's in Sylvester's order if count is a power of two,
 * else a random one, the same on every machine. Float64, row-major.
 */
export function mixingMatrix(count: number): Float64Array {
  return (count & (count - 1)) === 0 ? hadamardMatrix(count) : randomOrthonormal(count);
}

/** Element (i, j) is -1 to the number of bits that i and j share, over sqrt(count). */
function hadamardMatrix(count: number): Float64Array {
  return Float64Array.from({length: count * count}, (_, at) => {
    let shared = Math.floor(at / count) & (at % count);
    let sign = 1;
    for (; shared !== 0; shared &= shared - 1) sign = -sign;
    return sign / Math.sqrt(count);
  });
}

/**
 * Random rows, each made orthogonal to those before it (Gram and Schmidt), twice against rounding. Only sums, products and square roots,
 * which all machines round alike.
 */
function randomOrthonormal(count: number): Float64Array {
  const random = seededRandom(count);
  const rows = Float64Array.from({length: count * count}, () => random() - 0.5);
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * count, (i + 1) * count);
    for (let j = 0; j < 2 * i; j++) {
      const before = rows.subarray((j % i) * count, ((j % i) + 1) * count);
      const overlap = dot(row, before);
      before.forEach((x, k) => (row[k]! -= overlap * x));
    }
    const length = Math.sqrt(dot(row, row));
    row.forEach((x, k) => (row[k] = x / length));
  }
  return rows;
}
