import {countOf, Four, One, Sixteen, Two} from './counts';
import {blockInputs, groupOutputs, halves, minima, recordBytes, scalesAt} from './packed_record';
import {addBlock, addDots, storeOutputs} from './packed_sums';
import {integerBytes, unitBytes} from './round_rows';
import {widen, widenedBytes} from './widen';

// Several rows by codes. Those of a record are widened to scratch memory once, and four rows at a time are multiplied by them in
// registers. The sums of all rows by the eight outputs of a group stay in scratch memory, too.

/** Bytes of scratch memory: widened codes, and the sums. */
export function rowsScratch(rows: i32): usize {
  return widenedBytes<Sixteen>() + ((<usize>rows) << 5);
}

/** The outputs of groups from .. to of rows, rounded: see round_rows.ts. */
// @ts-ignore: decorator
@inline
export function multiplyRows<Bits, Scales, Minima, XBits>(
  x: usize,
  records: usize,
  bias: usize,
  residual: usize,
  out: usize,
  scratch: usize,
  rows: i32,
  inputs: i32,
  outputs: i32,
  from: i32,
  to: i32,
): void {
  const blocks = (inputs + blockInputs - 1) / blockInputs;
  const sums = scratch + widenedBytes<XBits>();
  const fours = sums + ((<usize>(rows & ~3)) << 5);
  let record = records + <usize>(from * blocks) * recordBytes<Bits, Scales, Minima>();
  for (let group = from; group < to; group++) {
    memory.fill(sums, 0, (<usize>rows) << 5);
    let at = x;
    for (let block = 0; block < blocks; block++, record += recordBytes<Bits, Scales, Minima>()) {
      widen<Bits, XBits>(record, scratch);
      const scales = record + scalesAt<Bits>();
      const minimum = minima<Bits, Scales, Minima>(record),
        minimum2 = minima<Bits, Scales, Minima>(record + 8);
      let tile = sums;
      for (; tile < fours; tile += 128, at += 4 * rowBytes<XBits>()) {
        addRows<Four, Scales, Minima, XBits>(at, tile, scratch, scales, minimum, minimum2);
      }
      if (rows & 2) {
        addRows<Two, Scales, Minima, XBits>(at, tile, scratch, scales, minimum, minimum2);
        at += 2 * rowBytes<XBits>();
        tile += 64;
      }
      if (rows & 1) {
        addRows<One, Scales, Minima, XBits>(at, tile, scratch, scales, minimum, minimum2);
        at += rowBytes<XBits>();
      }
    }
    storeOutputs(sums, rows, group * groupOutputs, outputs, bias, residual, out);
  }
}

/** Adds a block of one, two or four rows by the widened codes to their sums. */
// @ts-ignore: decorator
@inline
function addRows<Rows, Scales, Minima, XBits>(
  x: usize,
  sums: usize,
  codes: usize,
  scales: usize,
  minimum: v128,
  minimum2: v128,
): void {
  const units = x + integerBytes<XBits>();
  for (let part: usize = 0; part < <usize>countOf<Scales>(); part++, scales += 16) {
    let a0 = i32x4.splat(0),
      a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0,
      d0 = a0,
      d1 = a0;
    for (const end = codes + widenedBytes<XBits>() / <usize>countOf<Scales>(); codes < end; codes += 32, x += 4) {
      const low = v128.load(codes),
        high = v128.load(codes, 16);
      let numbers = v128.load32_splat(x);
      a0 = addDots<XBits>(a0, low, numbers);
      a1 = addDots<XBits>(a1, high, numbers);
      if (countOf<Rows>() > 1) {
        numbers = v128.load32_splat(x, rowBytes<XBits>());
        b0 = addDots<XBits>(b0, low, numbers);
        b1 = addDots<XBits>(b1, high, numbers);
      }
      if (countOf<Rows>() > 2) {
        numbers = v128.load32_splat(x, 2 * rowBytes<XBits>());
        c0 = addDots<XBits>(c0, low, numbers);
        c1 = addDots<XBits>(c1, high, numbers);
        numbers = v128.load32_splat(x, 3 * rowBytes<XBits>());
        d0 = addDots<XBits>(d0, low, numbers);
        d1 = addDots<XBits>(d1, high, numbers);
      }
    }
    const scale = halves(scales),
      scale2 = halves(scales + 8);
    addRow<XBits, Minima>(sums, a0, a1, scale, scale2, minimum, minimum2, units);
    if (countOf<Rows>() > 1) {
      addRow<XBits, Minima>(sums + 32, b0, b1, scale, scale2, minimum, minimum2, units + rowBytes<XBits>());
    }
    if (countOf<Rows>() > 2) {
      addRow<XBits, Minima>(sums + 64, c0, c1, scale, scale2, minimum, minimum2, units + 2 * rowBytes<XBits>());
      addRow<XBits, Minima>(sums + 96, d0, d1, scale, scale2, minimum, minimum2, units + 3 * rowBytes<XBits>());
    }
  }
}

// @ts-ignore: decorator
@inline
function rowBytes<XBits>(): usize {
  return integerBytes<XBits>() + unitBytes;
}

// @ts-ignore: decorator
@inline
function addRow<XBits, Minima>(
  sums: usize,
  low: v128,
  high: v128,
  scale: v128,
  scale2: v128,
  minimum: v128,
  minimum2: v128,
  unit: usize,
): void {
  v128.store(sums, addBlock<XBits, Minima>(v128.load(sums), low, scale, minimum, unit));
  v128.store(sums, addBlock<XBits, Minima>(v128.load(sums, 16), high, scale2, minimum2, unit), 16);
}
