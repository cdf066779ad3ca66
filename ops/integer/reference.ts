import * as tf from '@tensorflow/tfjs';
import {
  groupIndex,
  groupsOfRow,
  scaleOf,
  tokensOfGroup,
  wordsOfRow,
  zeroOf,
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
  const {bits, symmetric} = options;
  const rows = tokens / tokensOfGroup(options);
  const columns = groupsOfRow(options);
  const groups = batch * heads * rows * columns;
  const low = new Float32Array(groups).fill(Infinity);
  const high = new Float32Array(groups).fill(-Infinity);
  forEachNumber(x, (value, head, token, channel) => {
    const group = groupIndex(options, rows, head, token, channel);
    low[group] = Math.min(low[group]!, value);
    high[group] = Math.max(high[group]!, value);
  });
  const words = new Int32Array(groups);
  for (let group = 0; group < groups; group++)
    words[group] = parametersOf(low[group]!, high[group]!, bits, symmetric);
  return tf.tensor4d(words, [batch, heads, rows, columns], 'int32');
}

export function packCodesReference(
  inputs: {x: tf.Tensor4D; params: tf.Tensor4D},
  options: QuantizeOptions,
): tf.Tensor4D {
  const [batch, heads, tokens] = inputs.x.shape;
  const {bits} = options;
  const rowWords = wordsOfRow(options);
  const words = new Int32Array(batch * heads * tokens * rowWords);
  const params = hostNumbers(inputs.params);
  const paramRows = inputs.params.shape[2];
  forEachNumber(inputs.x, (value, head, token, channel) => {
    const word = (head * tokens + token) * rowWords + ((channel * bits) >> 5);
    const code = codeOf(value, params[groupIndex(options, paramRows, head, token, channel)]!, 2 ** bits - 1);
    words[word] = words[word]! | (code << ((channel * bits) & 31));
  });
  return tf.tensor4d(words, [batch, heads, tokens, rowWords], 'int32');
}

function forEachNumber(
  x: tf.Tensor4D,
  visit: (value: number, head: number, token: number, channel: number) => void,
): void {
  const [batch, heads, tokens, dim] = x.shape;
  const numbers = hostNumbers(x);
  let at = 0;
  for (let head = 0; head < batch * heads; head++) {
    for (let token = 0; token < tokens; token++) {
      for (let channel = 0; channel < dim; channel++) visit(numbers[at++]!, head, token, channel);
    }
  }
}

/** Scale as bfloat16 in the upper half, zero point in the lower. */
function parametersOf(low: number, high: number, bits: number, symmetric: boolean): number {
  const {fround} = Math;
  const absolute = Math.max(Math.abs(low), Math.abs(high));
  if (symmetric) {
    const scale = roundUpToBfloat16(fround(absolute / (2 ** (bits - 1) - 1)));
    return scale === 0 ? 0 : scale | (-(2 ** (bits - 1)) & 0xffff);
  }
  const range = fround(fround(high - low) / (2 ** bits - 1));
  const scale = roundUpToBfloat16(Math.max(range, fround(absolute / 32767)));
  if (scale === 0) return 0;
  const zero = Math.max(-32768, Math.min(32767, roundToEven(fround(low / scaleOf(scale)))));
  return scale | (zero & 0xffff);
}

function codeOf(value: number, params: number, largest: number): number {
  const scale = scaleOf(params);
  if (scale === 0) return 0;
  return Math.max(0, Math.min(largest, roundToEven(Math.fround(value / scale)) - zeroOf(params)));
}

const bits32 = new DataView(new ArrayBuffer(4));

/** The bits of a positive float32 rounded up to bfloat16, so that a group's range always fits its codes. */
function roundUpToBfloat16(value: number): number {
  bits32.setFloat32(0, value);
  return (bits32.getInt32(0) + 0xffff) & 0xffff0000;
}
