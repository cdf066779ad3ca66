import * as tf from '@tensorflow/tfjs';
import {
  groupIndex,
  groupsOfRow,
  paramsOf,
  planesOf,
  scaleOf,
  tokensOfGroup,
  wordsOfPlane,
  wordsOfRow,
  zeroOf,
  type IntegerBits,
  type IntegerLayout,
} from '../encodings/integer.js';
import {hostNumbers, roundToEven} from '../host_numbers.js';

/** How `quantize` groups, packs and scales. */
export interface QuantizeOptions extends IntegerLayout {
  /** Codes around 0 with scale absmax / (2^(bits-1) - 1), instead of the group's own minimum and maximum. */
  readonly symmetric: boolean;
}

// Packed words need exact 32-bit integers, which tfjs' own ops have on cpu only (floorDiv on wasm goes through float32).
// So these references are plain loops over the tensors' numbers, in float32 arithmetic step by step.

export function groupParametersReference({x}: {x: tf.Tensor4D}, options: QuantizeOptions): tf.Tensor4D {
  const [batch, heads, tokens] = x.shape;
  const words = groupParameters(hostNumbers(x), x.shape, options);
  return tf.tensor4d(words, [batch, heads, tokens / tokensOfGroup(options), groupsOfRow(options)], 'int32');
}

export function packCodesReference(
  {x, params}: {x: tf.Tensor4D; params: tf.Tensor4D},
  options: QuantizeOptions,
): tf.Tensor4D {
  const [batch, heads, tokens] = x.shape;
  const words = packCodes(hostNumbers(x), hostNumbers(params), x.shape, options);
  return tf.tensor4d(words, [batch, heads, tokens, wordsOfRow(options)], 'int32');
}

/** What `quantize` does, with numbers on the host: the codes and parameters of `[batch, kvHeads, tokens, dim]`. */
export function quantizeNumbers(
  numbers: Float32Array,
  shape: Shape,
  options: QuantizeOptions,
): {codes: Int32Array; params: Int32Array} {
  const params = groupParameters(numbers, shape, options);
  return {codes: packCodes(numbers, params, shape, options), params};
}

type Shape = readonly [batch: number, kvHeads: number, tokens: number, dim: number];

function groupParameters(numbers: ArrayLike<number>, shape: Shape, options: QuantizeOptions): Int32Array {
  const [batch, heads, tokens] = shape;
  const {bits, symmetric} = options;
  const rows = tokens / tokensOfGroup(options);
  const columns = groupsOfRow(options);
  const groups = batch * heads * rows * columns;
  const low = new Float32Array(groups).fill(Infinity);
  const high = new Float32Array(groups).fill(-Infinity);
  forEachNumber(numbers, shape, (value, head, token, channel) => {
    const group = groupIndex(options, rows, head, token, channel);
    low[group] = Math.min(low[group]!, value);
    high[group] = Math.max(high[group]!, value);
  });
  const words = new Int32Array(groups);
  for (let group = 0; group < groups; group++)
    words[group] = parametersOf(low[group]!, high[group]!, bits, symmetric);
  return words;
}

function packCodes(
  numbers: ArrayLike<number>,
  params: ArrayLike<number>,
  shape: Shape,
  options: QuantizeOptions,
): Int32Array {
  const [batch, heads, tokens] = shape;
  const {dim, bits} = options;
  const rowWords = wordsOfRow(options);
  const words = new Int32Array(batch * heads * tokens * rowWords);
  const paramRows = tokens / tokensOfGroup(options);
  const planes = planesOf(bits);
  forEachNumber(numbers, shape, (value, head, token, channel) => {
    const code = codeOf(value, params[groupIndex(options, paramRows, head, token, channel)]!, 2 ** bits - 1);
    let first = (head * tokens + token) * rowWords;
    for (const plane of planes) {
      const bit = channel * plane.bits;
      const part = (code >> plane.shift) & (2 ** plane.bits - 1);
      words[first + (bit >> 5)] = words[first + (bit >> 5)]! | (part << (bit & 31));
      first += wordsOfPlane(dim, plane.bits);
    }
  });
  return words;
}

function forEachNumber(
  numbers: ArrayLike<number>,
  [batch, heads, tokens, dim]: Shape,
  visit: (value: number, head: number, token: number, channel: number) => void,
): void {
  let at = 0;
  for (let head = 0; head < batch * heads; head++) {
    for (let token = 0; token < tokens; token++) {
      for (let channel = 0; channel < dim; channel++) visit(numbers[at++]!, head, token, channel);
    }
  }
}

/** Quotients are rounded to float32 one by one, so that no kernel has to round otherwise. */
function parametersOf(low: number, high: number, bits: IntegerBits, symmetric: boolean): number {
  const {fround} = Math;
  const absolute = Math.max(Math.abs(low), Math.abs(high));
  if (symmetric) {
    const scale = roundUpScale(fround(absolute / (2 ** (bits - 1) - 1)));
    return scale === 0 ? 0 : paramsOf(scale, -(2 ** (bits - 1)));
  }
  const steps = 2 ** bits - 1 - 2 ** -8; // the zero point is rounded down, by up to 2^-8 or 2^-10 of itself
  const lowest = fround(low / steps);
  const range = fround(fround(fround(high / steps) - lowest) + fround(Math.abs(lowest) / 1024));
  const scale = roundUpScale(Math.max(range, fround(absolute / 32768)));
  return scale === 0 ? 0 : paramsOf(scale, zeroBelow(fround(low / scale)));
}

function codeOf(value: number, params: number, largest: number): number {
  const scale = scaleOf(params);
  if (scale === 0) return 0;
  const steps = Math.fround(Math.fround(value / scale) - zeroOf(params));
  return Math.max(0, Math.min(largest, roundToEven(steps)));
}

const bits32 = new DataView(new ArrayBuffer(4));

/** A positive float32 rounded up to 8 bits of mantissa, so that a group's range always fits its codes. */
function roundUpScale(value: number): number {
  bits32.setFloat32(0, value);
  bits32.setInt32(0, (bits32.getInt32(0) + 0x7fff) & 0x7fff8000);
  return bits32.getFloat32(0);
}

/** The largest multiple of 1/256 in float16 that is not above a number. */
function zeroBelow(value: number): number {
  bits32.setFloat32(0, value);
  bits32.setInt32(0, bits32.getInt32(0) & 0x7f800000);
  const unit = Math.max(bits32.getFloat32(0) / 1024, 1 / 256);
  return Math.floor(value / unit) * unit;
}

export type FinerStepsAttributes = {
  /** How often steps are halved. */
  readonly halvings: number;
};

/**
 * Parameters whose scale is divided by 2^halvings and whose zero point is multiplied by it, where both are normal numbers then and a zero point
 * of at most 32768; others are unchanged. int32 of the same shape.
 */
export function finerStepsReference(
  {params}: {params: tf.Tensor4D},
  {halvings}: FinerStepsAttributes,
): tf.Tensor4D {
  const factor = 2 ** halvings;
  const words = Int32Array.from(hostNumbers(params), word => {
    const [scale, zero] = [scaleOf(word) / factor, zeroOf(word) * factor];
    return scale < 2 ** -126 || Math.abs(zero) > 32768 ? word : paramsOf(scale, zero);
  });
  return tf.tensor4d(words, params.shape, 'int32');
}
