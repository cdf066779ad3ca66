import * as tf from '@tensorflow/tfjs';
import type {IntegerLayout} from '../encodings/encoding.js';
import {hostNumbers} from '../host_numbers.js';
import type {DequantizeAttributes, QuantizeOptions} from './index.js';

// Packed words need exact 32-bit integers, which tfjs' own ops have on cpu only (floorDiv on wasm goes through float32).
// So these references are plain loops over the tensors' numbers, in float32 arithmetic step by step.

type Shape4 = [number, number, number, number];

/** Where the groups of a layout lie. */
class Grouping {
  readonly channelGroups: number;
  constructor(
    readonly layout: IntegerLayout,
    readonly paramRows: number,
  ) {
    this.channelGroups = Math.ceil(layout.dim / layout.groupSize);
  }
  /** The index of the parameters of one channel of one token of one head. */
  at(head: number, token: number, channel: number): number {
    const {groupAxis, groupSize, dim} = this.layout;
    return groupAxis === 'channel'
      ? (head * this.paramRows + Math.floor(token / groupSize)) * dim + channel
      : (head * this.paramRows + token) * this.channelGroups + Math.floor(channel / groupSize);
  }
}

export function groupParametersReference({x}: {x: tf.Tensor}, options: QuantizeOptions): tf.Tensor {
  const [batch, heads, tokens, dim] = x.shape as Shape4;
  const {groupAxis, groupSize, bits, symmetric} = options;
  const rows = groupAxis === 'channel' ? tokens / groupSize : tokens;
  const columns = groupAxis === 'channel' ? dim : Math.ceil(dim / groupSize);
  const groups = batch * heads * rows * columns;
  const low = new Float32Array(groups).fill(Infinity);
  const high = new Float32Array(groups).fill(-Infinity);
  const grouping = new Grouping(options, rows);
  forEachNumber(x, (value, head, token, channel) => {
    const group = grouping.at(head, token, channel);
    low[group] = Math.min(low[group]!, value);
    high[group] = Math.max(high[group]!, value);
  });
  const words = new Int32Array(groups);
  for (let group = 0; group < groups; group++)
    words[group] = parametersOf(low[group]!, high[group]!, bits, symmetric);
  return tf.tensor4d(words, [batch, heads, rows, columns], 'int32');
}

export function packCodesReference(
  inputs: {x: tf.Tensor; params: tf.Tensor},
  options: QuantizeOptions,
): tf.Tensor {
  const [batch, heads, tokens, dim] = inputs.x.shape as Shape4;
  const {bits} = options;
  const rowWords = Math.ceil((dim * bits) / 32);
  const words = new Int32Array(batch * heads * tokens * rowWords);
  const params = hostNumbers(inputs.params);
  const grouping = new Grouping(options, inputs.params.shape[2]!);
  forEachNumber(inputs.x, (value, head, token, channel) => {
    const word = (head * tokens + token) * rowWords + ((channel * bits) >> 5);
    const code = codeOf(value, params[grouping.at(head, token, channel)]!, 2 ** bits - 1);
    words[word] = words[word]! | (code << ((channel * bits) & 31));
  });
  return tf.tensor4d(words, [batch, heads, tokens, rowWords], 'int32');
}

export function dequantizeReference(
  inputs: {codes: tf.Tensor; params: tf.Tensor},
  attributes: DequantizeAttributes,
): tf.Tensor {
  const {from, count, dim, bits} = attributes;
  const [batch, heads, rows, rowWords] = inputs.codes.shape as Shape4;
  const codes = hostNumbers(inputs.codes);
  const params = hostNumbers(inputs.params);
  const grouping = new Grouping(attributes, inputs.params.shape[2]!);
  const out = new Float32Array(batch * heads * count * dim);
  let at = 0;
  for (let head = 0; head < batch * heads; head++) {
    for (let token = from; token < from + count; token++) {
      for (let channel = 0; channel < dim; channel++) {
        const word = codes[(head * rows + token) * rowWords + ((channel * bits) >> 5)]!;
        const code = (word >>> ((channel * bits) & 31)) & (2 ** bits - 1);
        const group = params[grouping.at(head, token, channel)]!;
        out[at++] = Math.fround(code + zeroOf(group)) * scaleOf(group);
      }
    }
  }
  return tf.tensor4d(out, [batch, heads, count, dim]);
}

function forEachNumber(
  x: tf.Tensor,
  visit: (value: number, head: number, token: number, channel: number) => void,
): void {
  const [batch, heads, tokens, dim] = x.shape as Shape4;
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

function scaleOf(params: number): number {
  bits32.setInt32(0, params & 0xffff0000);
  return bits32.getFloat32(0);
}

const zeroOf = (params: number): number => (params << 16) >> 16;

function roundToEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
