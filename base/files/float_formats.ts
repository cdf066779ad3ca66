/**
 * Small float formats of weight files, to and from float32. IEEE 754 binary16 (F16), bfloat16 (BF16: the upper
 * half of a float32), and the OCP 8-bit formats E4M3FN and E5M2 (Micikevicius et al. 2022, arXiv 2209.05433).
 */

/** All 65,536 float16 values by their bits: a look-up is several times faster than arithmetic on the parts. */
let float16Table: Float32Array | undefined;

/** The values of all float16 bit patterns, `[65536]`. */
export function float16Values(): Float32Array {
  if (float16Table === undefined) {
    float16Table = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) float16Table[bits] = smallFloat(bits, 5, 10, true);
  }
  return float16Table;
}

/** The values of all 8-bit patterns of a format, `[256]`; E4M3FN has no infinities and NaN only at all ones. */
export function float8Values(format: 'E4M3' | 'E5M2'): Float32Array {
  const values = new Float32Array(256);
  for (let bits = 0; bits < 256; bits++) {
    values[bits] = format === 'E5M2' ? smallFloat(bits, 5, 2, true) : smallFloat(bits, 4, 3, false);
  }
  return values;
}

/** The value of a float with a sign bit, `exponentBits` and `fractionBits`, and with infinities if `ieee` is set. */
function smallFloat(bits: number, exponentBits: number, fractionBits: number, ieee: boolean): number {
  const sign = bits >> (exponentBits + fractionBits) === 0 ? 1 : -1;
  const exponentMax = (1 << exponentBits) - 1;
  const exponent = (bits >> fractionBits) & exponentMax;
  const fraction = bits & ((1 << fractionBits) - 1);
  const bias = exponentMax >> 1;
  if (exponent === exponentMax) {
    if (ieee) return fraction === 0 ? sign * Infinity : NaN;
    if (fraction === (1 << fractionBits) - 1) return NaN;
  }
  const scale = 2 ** -fractionBits;
  return exponent === 0
    ? sign * fraction * scale * 2 ** (1 - bias)
    : sign * (1 + fraction * scale) * 2 ** (exponent - bias);
}

/**
 * Float32 values as float16 bits, rounded to nearest, ties to even. NaN stays NaN.
 * @returns the index of the first finite value that float16 cannot hold (|x| >= 65520), or -1: it became an infinity.
 */
export function toFloat16(values: Float32Array, halves: Uint16Array): number {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let overflow = -1;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const half = halfOfWord(word);
    halves[i] = half;
    if (overflow < 0 && (half & 0x7fff) === 0x7c00 && (word & 0x7fffffff) < 0x7f800000) overflow = i;
  }
  return overflow;
}

const one = new Float32Array(1);
const oneWord = new Uint32Array(one.buffer);

/** The bits of the float16 number nearest to a number: see `toFloat16`. */
export function float16Bits(number: number): number {
  one[0] = number;
  return halfOfWord(oneWord[0]!);
}

/** Float32 bits as float16 bits. */
function halfOfWord(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= 0x7f800000) {
    // a NaN keeps its upper payload bits and is made quiet, so that it cannot turn into an infinity
    return sign | (magnitude > 0x7f800000 ? 0x7e00 | ((magnitude >>> 13) & 0x1ff) : 0x7c00);
  }
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    // normal: rebias by 112 exponents and round the 13 dropped bits; a carry into the exponent is right
    const rebased = magnitude - 0x38000000;
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  if (magnitude <= 0x33000000) return sign;
  // subnormal: shift the full significand until its last bit weighs 2^-24
  const shift = 126 - (magnitude >>> 23);
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const kept = significand >>> shift;
  const rest = significand & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

/**
 * Float32 values as bfloat16 bits, rounded to nearest, ties to even. NaN stays NaN.
 * @returns the index of the first finite value that bfloat16 cannot hold (|x| >= 3.396e38), or -1: it became an infinity.
 */
export function toBfloat16(values: Float32Array, halves: Uint16Array): number {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let overflow = -1;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      halves[i] = (word >>> 16) | 0x40; // made quiet, so that it cannot turn into an infinity
    } else {
      halves[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16; // a carry into the exponent is right
      if (magnitude >= 0x7f7f8000 && magnitude < 0x7f800000 && overflow < 0) overflow = i;
    }
  }
  return overflow;
}

/** Writes 16 bits, little endian, at any byte. */
export function writeHalf(bytes: Uint8Array, at: number, half: number): void {
  bytes[at] = half & 255;
  bytes[at + 1] = half >> 8;
}
