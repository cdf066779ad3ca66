import {multiplyTile} from './matrix_product';
import {countOf} from './counts';
import {madd} from './math';
import {blockInputs, groupOutputs, halves} from './packed_record';
import {storeOutputs} from './packed_sums';

// Rows by weights of 16 bits, which are float16 or the upper half of float32 (bfloat16): widened to floats, in registers for one
// row, and for more to a panel in scratch memory, which is then multiplied as float32 matrices are. Types: ExponentBits is Five or Eight.

/** Bytes of the 8 weights of an input. */
const inputBytes: usize = 16;
/** Bytes of a tile of sums, four rows of eight outputs. */
const tileBytes: usize = 128;

/** Bytes of scratch memory: a tile, and eight outputs of every input as float32. */
export function floatsScratch(rows: i32, inputs: i32): usize {
  return tileBytes + (rows == 1 ? 0 : (<usize>inputs) << 5);
}

/** Bytes from the records of eight outputs to those of the next. */
// @ts-ignore: decorator
@inline
function groupBytes(inputs: i32): usize {
  return <usize>((inputs + blockInputs - 1) & ~(blockInputs - 1)) * inputBytes;
}

/** Four weights. */
// @ts-ignore: decorator
@inline
function widened<ExponentBits>(at: usize): v128 {
  if (countOf<ExponentBits>() == 8) return i32x4.shl(v128.load_ext<u16>(at), 16);
  return halves(at);
}

/** The outputs of groups from .. to of one row. */
// @ts-ignore: decorator
@inline
export function multiplyRowByFloats<ExponentBits>(
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
  const end = x + ((<usize>inputs) << 2);
  let group = records + <usize>from * groupBytes(inputs);
  for (let g = from; g < to; g++, group += groupBytes(inputs)) {
    let a0 = f32x4.splat(0),
      a1 = a0,
      b0 = a0,
      b1 = a0,
      c0 = a0,
      c1 = a0,
      d0 = a0,
      d1 = a0;
    let at = x,
      weights = group;
    for (; at + 16 <= end; at += 16, weights += 4 * inputBytes) {
      let number = v128.load32_splat(at);
      a0 = madd(number, widened<ExponentBits>(weights), a0);
      a1 = madd(number, widened<ExponentBits>(weights + 8), a1);
      number = v128.load32_splat(at, 4);
      b0 = madd(number, widened<ExponentBits>(weights + 16), b0);
      b1 = madd(number, widened<ExponentBits>(weights + 24), b1);
      number = v128.load32_splat(at, 8);
      c0 = madd(number, widened<ExponentBits>(weights + 32), c0);
      c1 = madd(number, widened<ExponentBits>(weights + 40), c1);
      number = v128.load32_splat(at, 12);
      d0 = madd(number, widened<ExponentBits>(weights + 48), d0);
      d1 = madd(number, widened<ExponentBits>(weights + 56), d1);
    }
    for (; at < end; at += 4, weights += inputBytes) {
      const number = v128.load32_splat(at);
      a0 = madd(number, widened<ExponentBits>(weights), a0);
      a1 = madd(number, widened<ExponentBits>(weights + 8), a1);
    }
    const low = f32x4.add(f32x4.add(a0, b0), f32x4.add(c0, d0));
    const high = f32x4.add(f32x4.add(a1, b1), f32x4.add(c1, d1));
    storeOutputs(low, high, g * groupOutputs, outputs, bias, residual, out, scratch);
  }
}

/** The outputs of groups from .. to of several rows. */
// @ts-ignore: decorator
@inline
export function multiplyRowsByFloats<ExponentBits>(
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
  const rowBytes = (<usize>inputs) << 2,
    outBytes = (<usize>outputs) << 2;
  const panel = scratch + tileBytes;
  let weights = records + <usize>from * groupBytes(inputs);
  for (let group = from; group < to; group++, weights += groupBytes(inputs)) {
    for (let i: usize = 0; i < <usize>inputs * inputBytes; i += 8) {
      v128.store(panel + 2 * i, widened<ExponentBits>(weights + i));
    }
    for (let row = 0; row < rows; row += 4) {
      const last = x + <usize>(rows - 1) * rowBytes;
      const a = x + <usize>row * rowBytes;
      const b = min(a + rowBytes, last),
        c = min(b + rowBytes, last),
        d = min(c + rowBytes, last);
      multiplyTile(a, b, c, d, 4, panel, inputs, scratch, 32, false);
      let tile = scratch;
      for (let r = row; r < min(row + 4, rows); r++, tile += 32) {
        const at = <usize>r * outBytes;
        storeOutputs(
          v128.load(tile),
          v128.load(tile, 16),
          group * groupOutputs,
          outputs,
          bias,
          residual ? residual + at : 0,
          out + at,
          tile,
        );
      }
    }
  }
}
