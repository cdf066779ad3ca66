import {countOf} from './counts';
import {blockInputs, groupOutputs, halves, minima, recordBytes, scalesAt} from './packed_record';
import {addBlock, addDots, storeOutputs} from './packed_sums';
import {integerBytes, unitBytes} from './round_rows';

// One row by packed weights: codes are widened in registers, and one stream of records is read from its start to its end.

/** The outputs of groups from .. to of one row, rounded: see round_rows.ts. */
// @ts-ignore: decorator
@inline
export function multiplyRow<Bits, Scales, Minima, XBits>(
  x: usize,
  records: usize,
  bias: usize,
  residual: usize,
  out: usize,
  scratch: usize,
  inputs: i32,
  outputs: i32,
  from: i32,
  to: i32,
): void {
  const blocks = (inputs + blockInputs - 1) / blockInputs;
  const partBytes = integerBytes<XBits>() / <usize>countOf<Scales>();
  let record = records + <usize>(from * blocks) * recordBytes<Bits, Scales, Minima>();
  for (let group = from; group < to; group++) {
    let low = f32x4.splat(0),
      high = low;
    let at = x;
    for (let block = 0; block < blocks; block++, at += unitBytes) {
      const unit = at + integerBytes<XBits>();
      let codes = record;
      for (let part: usize = 0; part < <usize>countOf<Scales>(); part++) {
        let dots = i32x4.splat(0),
          dots2 = dots;
        for (const end = at + partBytes; at < end; at += <usize>countOf<XBits>(), codes += 8 * <usize>countOf<Bits>()) {
          if (countOf<XBits>() == 8) {
            const mask = i8x16.splat(0x0f);
            const c = v128.load(codes),
              d = v128.load(codes, 16);
            let quad = v128.load32_splat(at);
            dots = addDots<XBits>(dots, v128.and(c, mask), quad);
            dots2 = addDots<XBits>(dots2, v128.and(d, mask), quad);
            quad = v128.load32_splat(at, 4);
            dots = addDots<XBits>(dots, v128.and(i16x8.shr_u(c, 4), mask), quad);
            dots2 = addDots<XBits>(dots2, v128.and(i16x8.shr_u(d, 4), mask), quad);
          } else if (countOf<Bits>() == 4) {
            const mask = i16x8.splat(0x000f);
            const c = v128.load(codes),
              d = v128.load(codes, 16);
            let pair = v128.load32_splat(at);
            dots = addDots<XBits>(dots, v128.and(c, mask), pair);
            dots2 = addDots<XBits>(dots2, v128.and(d, mask), pair);
            pair = v128.load32_splat(at, 4);
            dots = addDots<XBits>(dots, v128.and(i16x8.shr_u(c, 8), mask), pair);
            dots2 = addDots<XBits>(dots2, v128.and(i16x8.shr_u(d, 8), mask), pair);
            pair = v128.load32_splat(at, 8);
            dots = addDots<XBits>(dots, v128.and(i16x8.shr_u(c, 4), mask), pair);
            dots2 = addDots<XBits>(dots2, v128.and(i16x8.shr_u(d, 4), mask), pair);
            pair = v128.load32_splat(at, 12);
            dots = addDots<XBits>(dots, i16x8.shr_u(c, 12), pair);
            dots2 = addDots<XBits>(dots2, i16x8.shr_u(d, 12), pair);
          } else {
            for (let i: usize = 0; i < 16; i += 4) {
              const pair = v128.load32_splat(at + i);
              dots = addDots<XBits>(dots, v128.load_ext<i8>(codes + 4 * i), pair);
              dots2 = addDots<XBits>(dots2, v128.load_ext<i8>(codes + 4 * i, 8), pair);
            }
          }
        }
        const scales = record + scalesAt<Bits>() + 16 * part;
        low = addBlock<XBits, Minima>(low, dots, halves(scales), minima<Bits, Scales, Minima>(record), unit);
        high = addBlock<XBits, Minima>(high, dots2, halves(scales + 8), minima<Bits, Scales, Minima>(record + 8), unit);
      }
      record += recordBytes<Bits, Scales, Minima>();
    }
    v128.store(scratch, low);
    v128.store(scratch, high, 16);
    storeOutputs(scratch, 1, group * groupOutputs, outputs, bias, residual, out);
  }
}
