import {bytesOfRows, packBytes, unpackBytes, wordsOfRows} from '../backends/tensorflow_bytes.js';
import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';
import {groupsOfRow, planesOf, tokensOfGroup, wordsOfPlane, type IntegerLayout} from './integer_layout.js';

// How TensorFlow's ops read integer codes: see `IntegerEncoding`.

/** Scales and zero points, float32 `[batch, kvHeads, groups, columns]`. */
interface GroupNumbers {
  readonly scale: Handle;
  readonly zero: Handle;
}

/** Of words of parameters `[batch, kvHeads, groups, columns]`. */
export function groupNumbers(ops: TensorflowOps, params: Handle): GroupNumbers {
  const scaleBits = ops.and(ops.shiftRight(params, 1), 0x7fff8000);
  const zero = ops.cast(ops.bitcast(ops.cast(params, 'uint16'), 'float16'), 'float32'); // the lower half of a word
  return {scale: ops.bitcast(scaleBits, 'float32'), zero};
}

/** Tokens `from .. from + count`: float32 `[batch, kvHeads, count, dim]`. */
export function decodeIntegers(
  ops: TensorflowOps,
  data: Handle,
  params: Handle,
  layout: IntegerLayout,
  from: number,
  count: number,
): Handle {
  const {dim} = layout;
  const [batch, kvHeads] = data.shape as [number, number];
  const codes = codesOfTokens(ops, ops.part(data, 2, from, count), layout);
  const perGroup = tokensOfGroup(layout);
  const firstRow = Math.floor(from / perGroup);
  const groupRows = Math.ceil((from + count) / perGroup) - firstRow;
  const {scale, zero} = groupNumbers(ops, ops.part(params, 2, firstRow, groupRows));
  const axis = layout.groupAxis === 'channel' ? 2 : 3;
  const groupSize = Math.min(layout.groupSize, axis === 3 ? dim : Infinity);
  const [size, first] = axis === 2 ? [count, from % groupSize] : [dim, 0];
  if (groupSize === 1) return ops.mul(ops.add(codes, zero), scale);
  if (first === 0 && size % groupSize === 0) {
    // a number of a group has the group's parameters by broadcasting
    const grouped = (x: Handle, groups: number, inGroup: number) =>
      ops.reshape(
        x,
        axis === 2 ? [batch, kvHeads, groups, inGroup, dim] : [batch, kvHeads, count, groups, inGroup],
      );
    const groups = size / groupSize;
    const [ofScale, ofZero] = [grouped(scale, groups, 1), grouped(zero, groups, 1)];
    const numbers = ops.mul(ops.add(grouped(codes, groups, groupSize), ofZero), ofScale);
    return ops.reshape(numbers, [batch, kvHeads, count, dim]);
  }
  const groupOf = Array.from({length: size}, (_, i) => Math.floor((first + i) / groupSize));
  const indices = ops.constant(groupOf, [size], 'int32');
  return ops.mul(ops.add(codes, ops.gather(zero, indices, axis)), ops.gather(scale, indices, axis));
}

/** Codes of rows of words as they are, float32 `[batch, kvHeads, tokens, dim]`. */
function codesOfTokens(ops: TensorflowOps, words: Handle, {dim, bits}: IntegerLayout): Handle {
  let first = 0;
  let codes: Handle | undefined;
  for (const plane of planesOf(bits)) {
    const count = wordsOfPlane(dim, plane.bits);
    const bytes = bytesOfRows(ops, ops.part(words, 3, first, count));
    const unpacked = unpackBytes(ops, bytes, plane.bits);
    const part = ops.cast(ops.part(unpacked, 3, 0, dim), 'float32');
    const placed = plane.shift === 0 ? part : ops.mul(part, 2 ** plane.shift);
    codes = codes === undefined ? placed : ops.add(codes, placed);
    first += count;
  }
  return codes!;
}

/** Words of codes `[batch, kvHeads, tokens, words]`, of whole numbers float32 `[batch, kvHeads, tokens, dim]`. */
export function packIntegers(ops: TensorflowOps, codes: Handle, {dim, bits}: IntegerLayout): Handle {
  let rest = codes;
  const planes = planesOf(bits).map(plane => {
    const upper = plane.shift === 0 ? rest : ops.floor(ops.mul(rest, 2 ** -plane.shift));
    if (plane.shift > 0) rest = ops.sub(rest, ops.mul(upper, 2 ** plane.shift));
    const channels = (wordsOfPlane(dim, plane.bits) * 32) / plane.bits;
    return packBytes(ops, ops.padRows(upper, channels), plane.bits);
  });
  return wordsOfRows(ops, ops.concat(planes, 3));
}

/** A number of each group for each of its members: float32 `[batch, kvHeads, groups, columns]` as `[batch, kvHeads, tokens, dim]`. */
export function spreadOverGroups(
  ops: TensorflowOps,
  x: Handle,
  layout: IntegerLayout,
  tokens: number,
): Handle {
  const axis = layout.groupAxis === 'channel' ? 2 : 3;
  const size = axis === 2 ? tokens : layout.dim;
  const groupOf = Array.from({length: size}, (_, i) => Math.floor(i / layout.groupSize));
  return ops.gather(x, ops.constant(groupOf, [size], 'int32'), axis);
}

/** The least and the largest number of each group of float32 `[batch, kvHeads, tokens, dim]`: `[batch, kvHeads, groups, columns]`. */
export function extremesOfGroups(
  ops: TensorflowOps,
  x: Handle,
  layout: IntegerLayout,
): {low: Handle; high: Handle} {
  const {dim, groupAxis, groupSize} = layout;
  const [batch, kvHeads, tokens] = x.shape as [number, number, number];
  if (groupAxis === 'channel') {
    const grouped = ops.reshape(x, [batch, kvHeads, tokens / groupSize, groupSize, dim]);
    return {low: ops.min(grouped, 3), high: ops.max(grouped, 3)};
  }
  const whole = Math.floor(dim / groupSize);
  const parts: {low: Handle; high: Handle}[] = [];
  if (whole > 0) {
    const full = ops.part(x, 3, 0, whole * groupSize);
    const grouped = ops.reshape(full, [batch, kvHeads, tokens, whole, groupSize]);
    parts.push({low: ops.min(grouped, 4), high: ops.max(grouped, 4)});
  }
  if (whole < groupsOfRow(layout)) {
    const rest = ops.part(x, 3, whole * groupSize, dim - whole * groupSize);
    parts.push({low: ops.min(rest, 3, true), high: ops.max(rest, 3, true)});
  }
  const joined = (side: 'low' | 'high') =>
    ops.concat(
      parts.map(part => part[side]),
      3,
    );
  return {low: joined('low'), high: joined('high')};
}
