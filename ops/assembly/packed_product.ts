import {Eight, Five, Four, One, Sixteen, Two, Zero} from './counts';
import {floatsScratch, multiplyByFloats} from './packed_floats';
import {bfloat16, float16, packed4, packed4ByBytes, packed8, packed8By16, packed8Min} from './packed_record';
import {multiplyRow} from './packed_row';
import {multiplyRows, rowsScratch} from './packed_rows';

// Rows by packed weights, of any format: see ops/weights/formats.ts.

/** Bytes of scratch memory. */
export function packedProductScratch(rows: i32, inputs: i32, format: i32): usize {
  return format == float16 || format == bfloat16 ? floatsScratch(rows, inputs) : rowsScratch(rows);
}

/**
 * out [rows, outputs] = x W + bias [outputs] + residual [rows, outputs], the outputs of groups of eight from .. to. The address of a
 * bias or residual is 0 if there is none. Groups do not depend on each other, so threads can share them.
 *
 * @param x rows that roundRows made for the format, or the floats themselves for weights of 16 bits.
 */
export function packedProduct(
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
  format: i32,
): void {
  switch (format) {
    case packed4:
      multiply<Four, One, One, Sixteen>(x, records, bias, residual, out, scratch, rows, inputs, outputs, from, to);
      break;
    case packed4ByBytes:
      if (ASC_FEATURE_RELAXED_SIMD) {
        multiply<Four, One, One, Eight>(x, records, bias, residual, out, scratch, rows, inputs, outputs, from, to);
      }
      break;
    case packed8:
      multiply<Eight, One, Zero, Sixteen>(x, records, bias, residual, out, scratch, rows, inputs, outputs, from, to);
      break;
    case packed8Min:
      multiply<Eight, One, One, Sixteen>(x, records, bias, residual, out, scratch, rows, inputs, outputs, from, to);
      break;
    case packed8By16:
      multiply<Eight, Two, Zero, Sixteen>(x, records, bias, residual, out, scratch, rows, inputs, outputs, from, to);
      break;
    case float16:
      multiplyByFloats<Five>(x, records, bias, residual, out, scratch, rows, inputs, outputs, from, to);
      break;
    case bfloat16:
      multiplyByFloats<Eight>(x, records, bias, residual, out, scratch, rows, inputs, outputs, from, to);
      break;
  }
}

function multiply<Bits, Scales, Minima, XBits>(
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
  if (rows == 1) {
    multiplyRow<Bits, Scales, Minima, XBits>(x, records, bias, residual, out, scratch, inputs, outputs, from, to);
    return;
  }
  multiplyRows<Bits, Scales, Minima, XBits>(x, records, bias, residual, out, scratch, rows, inputs, outputs, from, to);
}
