import {countOf} from './counts';
import {blockInputs, groupOutputs, halves, minima, recordBytes, scalesAt} from './packed_record';
import {addBlock, addDots, storeOutputs} from './packed_sums';
import {integerBytes, unitBytes} from './round_rows';

// One row by codes, which are widened in registers: one stream of records is read from its start to its end.

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
          dots = addStep<Bits, XBits>(dots, codes, at);
          dots2 = addStep<Bits, XBits>(dots2, codes + (countOf<Bits>() == 4 ? 16 : 8), at);
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

/** dots + eight inputs of four outputs. */
// @ts-ignore: decorator
@inline
function addStep<Bits, XBits>(dots: v128, codes: usize, x: usize): v128 {
  if (countOf<Bits>() == 8) {
    dots = addDots<XBits>(dots, v128.load_ext<i8>(codes), v128.load32_splat(x));
    dots = addDots<XBits>(dots, v128.load_ext<i8>(codes, 16), v128.load32_splat(x, 4));
    dots = addDots<XBits>(dots, v128.load_ext<i8>(codes, 32), v128.load32_splat(x, 8));
    return addDots<XBits>(dots, v128.load_ext<i8>(codes, 48), v128.load32_splat(x, 12));
  }
  const packed = v128.load(codes);
  if (countOf<XBits>() == 8) {
    const mask = i8x16.splat(0x0f);
    dots = addDots<XBits>(dots, v128.and(packed, mask), v128.load32_splat(x));
    return addDots<XBits>(dots, v128.and(i16x8.shr_u(packed, 4), mask), v128.load32_splat(x, 4));
  }
  const mask = i16x8.splat(0x000f);
  dots = addDots<XBits>(dots, v128.and(packed, mask), v128.load32_splat(x));
  dots = addDots<XBits>(dots, v128.and(i16x8.shr_u(packed, 8), mask), v128.load32_splat(x, 4));
  dots = addDots<XBits>(dots, v128.and(i16x8.shr_u(packed, 4), mask), v128.load32_splat(x, 8));
  return addDots<XBits>(dots, i16x8.shr_u(packed, 12), v128.load32_splat(x, 12));
}
