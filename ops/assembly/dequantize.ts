import {countOf, Eight, Five, Four, Six, Three, Two} from './counts';
import {codeOf, codes16, lowerBits, rowWords, scaleOf, upperBits, upperBytes, zeroOf} from './integer';
import {EncodingDescriptor} from './encoding_descriptor';

// Integers become floats by their place in a mantissa: 0x47000000 | code << 8 is 2^15 + code. So four codes take one interleaving of
// 16-bit numbers, and 2^15 is taken away together with adding the zero point: exact, since that is a multiple of 2^-8.

const twoTo15: f32 = 32768;

// @ts-ignore: decorator
@inline
function floatZeroOf(params: v128): v128 {
  return f32x4.sub(zeroOf(params), f32x4.splat(twoTo15));
}

/** Stores sixteen decoded numbers, four by each pair of zero point (less 2^15) and scale. */
// @ts-ignore: decorator
@inline
function store16(
  codes: v128, z0: v128, s0: v128, z1: v128, s1: v128, z2: v128, s2: v128, z3: v128, s3: v128, out: usize,
): void {
  const zero = i32x4.splat(0);
  const magic = i16x8.splat(0x4700);
  const low = v128.shuffle<u8>(zero, codes, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const high = v128.shuffle<u8>(zero, codes, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const c0 = v128.shuffle<u16>(low, magic, 0, 8, 1, 9, 2, 10, 3, 11);
  const c1 = v128.shuffle<u16>(low, magic, 4, 12, 5, 13, 6, 14, 7, 15);
  const c2 = v128.shuffle<u16>(high, magic, 0, 8, 1, 9, 2, 10, 3, 11);
  const c3 = v128.shuffle<u16>(high, magic, 4, 12, 5, 13, 6, 14, 7, 15);
  v128.store(out, f32x4.mul(f32x4.add(c0, z0), s0));
  v128.store(out, f32x4.mul(f32x4.add(c1, z1), s1), 16);
  v128.store(out, f32x4.mul(f32x4.add(c2, z2), s2), 32);
  v128.store(out, f32x4.mul(f32x4.add(c3, z3), s3), 48);
}

/** Tokens `from .. from + count` of one head, decoded to rows of `dim` floats at `out`. */
export function dequantizeTile(encoding: EncodingDescriptor, head: i32, from: i32, count: i32, out: usize): void {
  const bits = encoding.layout & 0xff;
  const codes = <usize>encoding.data + (<usize>(head * encoding.dataRows + from) * <usize>rowWords(encoding.dim, bits) << 2);
  // a loop for each number of bits: the steps through the codes are constants then
  if (bits == 8) dequantizeOfBits<Eight>(encoding, codes, head, from, count, out);
  else if (bits == 6) dequantizeOfBits<Six>(encoding, codes, head, from, count, out);
  else if (bits == 5) dequantizeOfBits<Five>(encoding, codes, head, from, count, out);
  else if (bits == 4) dequantizeOfBits<Four>(encoding, codes, head, from, count, out);
  else if (bits == 3) dequantizeOfBits<Three>(encoding, codes, head, from, count, out);
  else dequantizeOfBits<Two>(encoding, codes, head, from, count, out);
}

// @ts-ignore: decorator
@inline
function dequantizeOfBits<Bits>(encoding: EncodingDescriptor, codes: usize, head: i32, from: i32, count: i32, out: usize): void {
  if (encoding.layout >> 8) dequantizePerToken<Bits>(encoding, codes, head, from, count, out);
  else dequantizePerChannel<Bits>(encoding, codes, head, from, count, out);
}

/** Groups are runs of channels of one token. */
function dequantizePerToken<Bits>(encoding: EncodingDescriptor, codes: usize, head: i32, from: i32, count: i32, out: usize): void {
  const bits = countOf<Bits>();
  const dim = encoding.dim;
  const groupSize = encoding.groupSize;
  const codeBytes = <usize>rowWords(dim, bits) << 2;
  const paramBytes = <usize>((dim + groupSize - 1) / groupSize) << 2;
  let params = <usize>encoding.params + <usize>(head * encoding.paramRows + from) * paramBytes;
  const upperStep = <usize>upperBits(bits) << 1,
    lowerStep = <usize>lowerBits(bits) << 1;
  const lowerAt = upperBytes(dim, bits);
  const blocks = groupSize % 16 == 0 ? dim >> 4 : 0;
  const blocksPerGroup = groupSize >> 4;
  for (let token = 0; token < count; token++, codes += codeBytes, params += paramBytes) {
    let param = params;
    let left = 0;
    let zeros = f32x4.splat(0),
      scales = zeros;
    for (let block = 0; block < blocks; block++, out += 64, left--) {
      if (left == 0) {
        const p = v128.load32_splat(param);
        zeros = floatZeroOf(p);
        scales = scaleOf(p);
        param += 4;
        left = blocksPerGroup;
      }
      const c = codes16(codes + <usize>block * upperStep, codes + lowerAt + <usize>block * lowerStep, bits);
      store16(c, zeros, scales, zeros, scales, zeros, scales, zeros, scales, out);
    }
    for (let channel = blocks << 4; channel < dim; channel++, out += 4) {
      store<f32>(out, decode(codes, channel, dim, bits, load<u32>(params + (<usize>(channel / groupSize) << 2))));
    }
  }
}

/** Groups are runs of tokens of one channel: sixteen channels at a time, down the tokens of a group. */
function dequantizePerChannel<Bits>(encoding: EncodingDescriptor, codes: usize, head: i32, from: i32, count: i32, out: usize): void {
  const bits = countOf<Bits>();
  const dim = encoding.dim;
  const groupSize = encoding.groupSize;
  const codeBytes = <usize>rowWords(dim, bits) << 2;
  const rowBytes = <usize>dim << 2;
  const lowerAt = upperBytes(dim, bits);
  const end = from + count;
  for (let token = from; token < end; ) {
    const group = token / groupSize;
    const tokens = min(end, (group + 1) * groupSize) - token;
    const params = <usize>encoding.params + <usize>(head * encoding.paramRows + group) * rowBytes;
    let channel = 0;
    for (; channel + 16 <= dim; channel += 16) {
      const p = params + (<usize>channel << 2);
      const p0 = v128.load(p),
        p1 = v128.load(p, 16),
        p2 = v128.load(p, 32),
        p3 = v128.load(p, 48);
      const z0 = floatZeroOf(p0),
        z1 = floatZeroOf(p1),
        z2 = floatZeroOf(p2),
        z3 = floatZeroOf(p3);
      const s0 = scaleOf(p0),
        s1 = scaleOf(p1),
        s2 = scaleOf(p2),
        s3 = scaleOf(p3);
      let source = codes + <usize>((channel * upperBits(bits)) >> 3);
      let target = out + (<usize>channel << 2);
      const lower = codes + lowerAt + <usize>((channel * lowerBits(bits)) >> 3) - source;
      for (let i = 0; i < tokens; i++, source += codeBytes, target += rowBytes) {
        store16(codes16(source, source + lower, bits), z0, s0, z1, s1, z2, s2, z3, s3, target);
      }
    }
    for (; channel < dim; channel++) {
      const p = load<u32>(params + (channel << 2));
      for (let i: usize = 0; i < <usize>tokens; i++) {
        store<f32>(out + i * rowBytes + (channel << 2), decode(codes + i * codeBytes, channel, dim, bits, p));
      }
    }
    token += tokens;
    codes += <usize>tokens * codeBytes;
    out += <usize>tokens * rowBytes;
  }
}

/** One channel of a row of codes. */
// @ts-ignore: decorator
@inline
function decode(codes: usize, channel: i32, dim: i32, bits: i32, params: u32): f32 {
  const group = i32x4.splat(params);
  const zero = f32x4.extract_lane(zeroOf(group), 0),
    scale = f32x4.extract_lane(scaleOf(group), 0);
  return (<f32>codeOf(codes, channel, dim, bits) + zero) * scale;
}
