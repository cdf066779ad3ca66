import {FormDescriptor} from './tiles';

// Codes and parameters as ops/forms.ts describes them: x ~ (code + zero) * scale, params = bfloat16 scale << 16 | zero.

/** Words of one row of codes. */
// @ts-ignore: decorator
@inline
function rowWords(dim: i32, bits: i32): i32 {
  return (dim * bits + 31) >> 5;
}

// @ts-ignore: decorator
@inline
function scaleOf(params: v128): v128 {
  return v128.and(params, i32x4.splat(0xffff0000));
}

// @ts-ignore: decorator
@inline
function zeroOf(params: v128): v128 {
  return i32x4.shr_s(i32x4.shl(params, 16), 16);
}

/** The four codes in the low 4 * bits bits of a word, one a lane. */
// @ts-ignore: decorator
@inline
function unpack4(word: u32, bits: i32): v128 {
  // no shift by lane in wasm: multiply each lane's code up to the same place, then shift all down
  const factors = bits == 8 ? i32x4(1 << 24, 1 << 16, 1 << 8, 1)
    : bits == 4 ? i32x4(1 << 12, 1 << 8, 1 << 4, 1) : i32x4(1 << 6, 1 << 4, 1 << 2, 1);
  const raised = i32x4.mul(i32x4.splat(word), factors);
  return v128.and(i32x4.shr_u(raised, 3 * bits), i32x4.splat((1 << bits) - 1));
}

/** One token of one head, decoded to `dim` floats at `out`. */
export function dequantizeRow(form: FormDescriptor, head: i32, token: i32, out: usize): void {
  const dim = form.dim;
  const bits = form.encoding & 0xff;
  const alongChannels = form.encoding >> 8;
  const groupSize = form.groupSize;
  const codes = <usize>form.data + (<usize>(head * form.dataRows + token) * <usize>rowWords(dim, bits) << 2);
  let params = <usize>form.params;
  if (alongChannels) {
    params += <usize>(head * form.paramRows + token) * <usize>((dim + groupSize - 1) / groupSize) << 2;
  } else {
    params += <usize>(head * form.paramRows + token / groupSize) * <usize>dim << 2;
  }
  const mask: u32 = (1 << bits) - 1;
  const vectorsFit = !alongChannels || groupSize % 4 == 0;
  let channel = 0;
  if (vectorsFit) {
    for (; channel + 4 <= dim; channel += 4) {
      const bit = channel * bits;
      const word = load<u32>(codes + ((bit >> 5) << 2)) >> (bit & 31);
      const p = alongChannels ? v128.load32_splat(params + ((channel / groupSize) << 2)) : v128.load(params + (channel << 2));
      const whole = f32x4.convert_i32x4_s(i32x4.add(unpack4(word, bits), zeroOf(p)));
      v128.store(out + (channel << 2), f32x4.mul(whole, scaleOf(p)));
    }
  }
  for (; channel < dim; channel++) {
    const bit = channel * bits;
    const code = (load<u32>(codes + ((bit >> 5) << 2)) >> (bit & 31)) & mask;
    const p = load<u32>(params + ((alongChannels ? channel / groupSize : channel) << 2));
    const zero = <i32>(p << 16) >> 16;
    store<f32>(out + (channel << 2), <f32>(<i32>code + zero) * reinterpret<f32>(p & 0xffff0000));
  }
}

/** Decodes tokens `from .. from + count` of every head: out [heads, count, dim]. */
export function dequantize(descriptor: usize, heads: i32, from: i32, count: i32, out: usize): void {
  const form = changetype<FormDescriptor>(descriptor);
  const rowBytes = <usize>form.dim << 2;
  for (let head = 0; head < heads; head++) {
    for (let token = 0; token < count; token++, out += rowBytes) dequantizeRow(form, head, from + token, out);
  }
}

/** A positive float32 rounded up to bfloat16, so that a group's range always fits its codes. */
// @ts-ignore: decorator
@inline
function roundUpToBfloat16(x: f32): u32 {
  return (reinterpret<u32>(x) + 0xffff) & 0xffff0000;
}

/** Scale (upper half) and zero point (lower half) of a group with these extremes. */
function parametersOf(low: f32, high: f32, bits: i32, symmetric: i32): u32 {
  const absolute = max(abs(low), abs(high));
  if (symmetric) {
    const scale = roundUpToBfloat16(absolute / <f32>((1 << (bits - 1)) - 1));
    return scale == 0 ? 0 : scale | ((-(1 << (bits - 1))) & 0xffff);
  }
  const scale = roundUpToBfloat16(max((high - low) / <f32>((1 << bits) - 1), absolute / 32767));
  if (scale == 0) return 0;
  const zero = <i32>max<f32>(-32768, min<f32>(32767, nearest(low / reinterpret<f32>(scale))));
  return scale | (zero & 0xffff);
}

// @ts-ignore: decorator
@inline
function codeOf(x: f32, params: u32, largest: i32): u32 {
  const scale = reinterpret<f32>(params & 0xffff0000);
  if (scale == 0) return 0;
  const zero = <i32>(params << 16) >> 16;
  return <u32>max(0, min(largest, <i32>nearest(x / scale) - zero));
}

/** The parameters of every group of x [heads, tokens, dim]. */
export function groupParameters(
  x: usize, params: usize, heads: i32, tokens: i32, dim: i32, bits: i32, alongChannels: i32, groupSize: i32, symmetric: i32,
): void {
  const rowBytes = <usize>dim << 2;
  const channelGroups = (dim + groupSize - 1) / groupSize;
  const groups = alongChannels ? tokens * channelGroups : (tokens / groupSize) * dim;
  for (let head = 0; head < heads; head++) {
    const rows = x + <usize>(head * tokens) * rowBytes;
    for (let group = 0; group < groups; group++, params += 4) {
      // a group is a run of numbers `stride` bytes apart, starting at `start`
      let start: usize, stride: usize, length: i32;
      if (alongChannels) {
        const token = group / channelGroups;
        const first = (group - token * channelGroups) * groupSize;
        start = rows + <usize>token * rowBytes + (<usize>first << 2);
        stride = 4;
        length = min(groupSize, dim - first);
      } else {
        const block = group / dim;
        start = rows + <usize>(block * groupSize) * rowBytes + (<usize>(group - block * dim) << 2);
        stride = rowBytes;
        length = groupSize;
      }
      let low = load<f32>(start), high = low;
      for (let i = 1; i < length; i++) {
        const value = load<f32>(start + <usize>i * stride);
        low = min(low, value);
        high = max(high, value);
      }
      store<u32>(params, parametersOf(low, high, bits, symmetric));
    }
  }
}

/** The codes of x [heads, tokens, dim] under its groups' parameters; every word is written. */
export function packCodes(
  x: usize, params: usize, codes: usize, heads: i32, tokens: i32, dim: i32, bits: i32, alongChannels: i32, groupSize: i32,
): void {
  const words = rowWords(dim, bits);
  const largest = (1 << bits) - 1;
  const channelGroups = (dim + groupSize - 1) / groupSize;
  const groups = alongChannels ? tokens * channelGroups : (tokens / groupSize) * dim;
  memory.fill(codes, 0, <usize>(heads * tokens * words) << 2);
  for (let head = 0; head < heads; head++, params += <usize>groups << 2) {
    for (let token = 0; token < tokens; token++, codes += <usize>words << 2) {
      for (let channel = 0; channel < dim; channel++, x += 4) {
        const group = alongChannels ? token * channelGroups + channel / groupSize : (token / groupSize) * dim + channel;
        const code = codeOf(load<f32>(x), load<u32>(params + (<usize>group << 2)), largest);
        const bit = channel * bits;
        const word = codes + ((bit >> 5) << 2);
        store<u32>(word, load<u32>(word) | (code << (bit & 31)));
      }
    }
  }
}
