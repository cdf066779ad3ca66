import {countOf, Eight, Five, Four, One, Sixteen, Two, Zero} from './counts';
import {madd} from './math';
import {widenGroup} from './packed_floats';
import {
  bfloat16,
  blockInputs,
  float16,
  groupOutputs,
  halves,
  minima,
  packed4,
  packed8,
  packed8By16,
  packed8Min,
  recordBytes,
  scalesAt,
} from './packed_record';
import {widen, widenedBytes} from './widen';

// Records as float32. A record becomes a tile [32 inputs, 8 outputs], from which whole rows or one column are copied.

const tileBytes: usize = 1024;

/** Bytes of scratch memory: a tile, and widened codes. */
export function unpackRecordsScratch(): usize {
  return tileBytes + widenedBytes<Sixteen>();
}

/** out [inputs, outputs] = the weights of all records. */
export function unpackRecords(
  records: usize,
  out: usize,
  scratch: usize,
  inputs: i32,
  outputs: i32,
  format: i32,
): void {
  const rowBytes = (<usize>outputs) << 2;
  const bytes = bytesOf(format);
  for (let output = 0; output < outputs; output += groupOutputs, out += 32) {
    const columnBytes = (<usize>min(groupOutputs, outputs - output)) << 2;
    let to = out;
    for (let input = 0; input < inputs; input += blockInputs, records += bytes) {
      unpackRecord(records, scratch, format);
      const end = scratch + ((<usize>min(blockInputs, inputs - input)) << 5);
      for (let row = scratch; row < end; row += 32, to += rowBytes) {
        if (columnBytes == 32) {
          v128.store(to, v128.load(row));
          v128.store(to, v128.load(row, 16), 16);
        } else memory.copy(to, row, columnBytes);
      }
    }
  }
}

/** out [count, inputs] = the weights of each of `count` outputs, by their indices, which must be those of outputs. */
export function gatherOutputs(
  records: usize,
  indices: usize,
  out: usize,
  scratch: usize,
  count: i32,
  inputs: i32,
  format: i32,
): void {
  const bytes = bytesOf(format);
  const groupBytes = <usize>((inputs + blockInputs - 1) / blockInputs) * bytes;
  for (const end = indices + ((<usize>count) << 2); indices < end; indices += 4) {
    const index = load<u32>(indices);
    let record = records + <usize>(index / groupOutputs) * groupBytes;
    const column = scratch + ((<usize>(index % groupOutputs)) << 2);
    for (let input = 0; input < inputs; input += blockInputs, record += bytes) {
      unpackRecord(record, scratch, format);
      const last = column + ((<usize>min(blockInputs, inputs - input)) << 5);
      for (let at = column; at < last; at += 32, out += 4) store<f32>(out, load<f32>(at));
    }
  }
}

function bytesOf(format: i32): usize {
  switch (format) {
    case packed4:
      return recordBytes<Four, One, One>();
    case packed8:
      return recordBytes<Eight, One, Zero>();
    case packed8Min:
      return recordBytes<Eight, One, One>();
    case packed8By16:
      return recordBytes<Eight, Two, Zero>();
    default:
      return recordBytes<Sixteen, Zero, Zero>();
  }
}

/** A record -> a tile in scratch memory. */
function unpackRecord(record: usize, scratch: usize, format: i32): void {
  switch (format) {
    case packed4:
      unpackCodes<Four, One, One>(record, scratch);
      break;
    case packed8:
      unpackCodes<Eight, One, Zero>(record, scratch);
      break;
    case packed8Min:
      unpackCodes<Eight, One, One>(record, scratch);
      break;
    case packed8By16:
      unpackCodes<Eight, Two, Zero>(record, scratch);
      break;
    case float16:
      widenGroup<Five>(record, record + recordBytes<Sixteen, Zero, Zero>(), scratch);
      break;
    case bfloat16:
      widenGroup<Eight>(record, record + recordBytes<Sixteen, Zero, Zero>(), scratch);
      break;
  }
}

function unpackCodes<Bits, Scales, Minima>(record: usize, tile: usize): void {
  const codes = tile + tileBytes;
  widen<Bits, Sixteen>(record, codes);
  const minimum = minima<Bits, Scales, Minima>(record),
    minimum2 = minima<Bits, Scales, Minima>(record + 8);
  const pairsOfScale = 16 / countOf<Scales>();
  for (let pair = 0; pair < 16; pair++) {
    const scales = record + scalesAt<Bits>() + 16 * <usize>(pair / pairsOfScale);
    const at = codes + ((<usize>pair) << 5);
    // the inputs of a pair are neighbours, or two apart in the order that codes of four bits leave their bytes in
    const first = countOf<Bits>() == 4 ? ((pair & ~1) << 1) | (pair & 1) : 2 * pair;
    const to = tile + ((<usize>first) << 5);
    unpackPairs<Bits, Minima>(v128.load(at), halves(scales), minimum, to);
    unpackPairs<Bits, Minima>(v128.load(at, 16), halves(scales + 8), minimum2, to + 16);
  }
}

/** Two codes of each of four outputs -> two rows of the tile. */
// @ts-ignore: decorator
@inline
function unpackPairs<Bits, Minima>(pairs: v128, scale: v128, minimum: v128, to: usize): void {
  const first = f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(pairs, 16), 16)),
    second = f32x4.convert_i32x4_s(i32x4.shr_s(pairs, 16));
  const next = countOf<Bits>() == 4 ? 64 : 32;
  v128.store(to, countOf<Minima>() == 1 ? madd(first, scale, minimum) : f32x4.mul(first, scale));
  v128.store(to + next, countOf<Minima>() == 1 ? madd(second, scale, minimum) : f32x4.mul(second, scale));
}
