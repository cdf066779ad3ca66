import {countOf} from './counts';

// Integer codes as integer multiply-adds take them: widened to 16 bits, eight at a time. Eight bytes hold the codes of 8, 16
// or 32 channels, and they unpack in this order: the lowest code of each byte, then the next. Queries and outputs beside
// codes have their channels in this order, too, until a head is done. (The order of 8-bit codes is that of the channels.)

/** Code k of each of eight bytes, the bytes widened to 16 bits. */
// @ts-ignore: decorator
@inline
export function codesOf<Bits>(bytes: v128, k: i32): v128 {
  const bits = countOf<Bits>();
  if (bits == 8) return bytes;
  const shifted = k == 0 ? bytes : i16x8.shr_u(bytes, k * bits);
  const mask = (1 << bits) - 1;
  return (k + 1) * bits == 8 ? shifted : v128.and(shifted, i16x8.splat(<i16>mask));
}

/** Adds the products of eight pairs, neighbours together, to four sums of 32 bits. */
// @ts-ignore: decorator
@inline
export function dot(sum: v128, a: v128, b: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(a, b));
}

/** The channel whose code is the one at `place` in unpacked order. */
// @ts-ignore: decorator
@inline
export function channelAt(place: i32, bits: i32): i32 {
  const all = 64 / bits, // codes of eight bytes
    each = 8 / bits; // and of one
  const within = place % all;
  return place - within + (within % 8) * each + within / 8;
}

/** Rows of floats from the order of channels into that of unpacked codes. */
export function toUnpacked(from: usize, to: usize, rows: i32, dim: i32, bits: i32): void {
  for (let row = 0; row < rows; row++, from += <usize>dim << 2) {
    for (let place = 0; place < dim; place++, to += 4) {
      store<f32>(to, load<f32>(from + (<usize>channelAt(place, bits) << 2)));
    }
  }
}

/** Rows of floats, `rowBytes` apart, back into the order of channels, in place. */
export function toChannels(at: usize, rowBytes: usize, rows: i32, dim: i32, bits: i32, scratch: usize): void {
  if (bits == 8) return;
  for (let row = 0; row < rows; row++, at += rowBytes) {
    memory.copy(scratch, at, <usize>dim << 2);
    for (let place = 0; place < dim; place++) {
      store<f32>(at + (<usize>channelAt(place, bits) << 2), load<f32>(scratch + (<usize>place << 2)));
    }
  }
}
