import {countOf} from './counts';

// The codes of a record, widened to as many bits as the integers of x that they are multiplied by (XBits).

/** Bytes of widened codes. */
// @ts-ignore: decorator
@inline
export function widenedBytes<XBits>(): usize {
  return 32 * <usize>countOf<XBits>();
}

/** 16 pairs of inputs as int16, or 8 times four inputs as int8, each of eight outputs, in the order that roundRows gives x. */
// @ts-ignore: decorator
@inline
export function widen<Bits, XBits>(record: usize, to: usize): void {
  if (countOf<Bits>() == 8) {
    for (const end = to + widenedBytes<XBits>(); to < end; to += 64, record += 32) {
      v128.store(to, v128.load_ext<i8>(record));
      v128.store(to, v128.load_ext<i8>(record, 8), 16);
      v128.store(to, v128.load_ext<i8>(record, 16), 32);
      v128.store(to, v128.load_ext<i8>(record, 24), 48);
    }
    return;
  }
  if (countOf<XBits>() == 8) {
    const mask = i8x16.splat(0x0f);
    for (const end = to + widenedBytes<XBits>(); to < end; to += 64, record += 32) {
      const c = v128.load(record),
        d = v128.load(record, 16);
      v128.store(to, v128.and(c, mask));
      v128.store(to, v128.and(d, mask), 16);
      v128.store(to, v128.and(i16x8.shr_u(c, 4), mask), 32);
      v128.store(to, v128.and(i16x8.shr_u(d, 4), mask), 48);
    }
    return;
  }
  const mask = i16x8.splat(0x000f);
  for (const end = to + widenedBytes<XBits>(); to < end; to += 128, record += 32) {
    const c = v128.load(record),
      d = v128.load(record, 16);
    v128.store(to, v128.and(c, mask));
    v128.store(to, v128.and(d, mask), 16);
    v128.store(to, v128.and(i16x8.shr_u(c, 8), mask), 32);
    v128.store(to, v128.and(i16x8.shr_u(d, 8), mask), 48);
    v128.store(to, v128.and(i16x8.shr_u(c, 4), mask), 64);
    v128.store(to, v128.and(i16x8.shr_u(d, 4), mask), 80);
    v128.store(to, i16x8.shr_u(c, 12), 96);
    v128.store(to, i16x8.shr_u(d, 12), 112);
  }
}
