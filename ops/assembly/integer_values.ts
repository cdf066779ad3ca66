import {FormDescriptor} from './form_descriptor';
import {rowWords, scaleOf, zeroOf} from './integer';
import {codesOf, Eight, Four, mostIntegerRows, Two, unpackedPlace} from './integer_scores';
import {maxOfLanes, sumOfLanes} from './math';
import {tileTokens} from './scores';

// Weighted sums of integer values whose groups run along channels, in integers. Within a group of channels,
//
//     sum_j p_j v_j = sum_j w_j (code_j + zero_j) = unit * sum_j W_j code_j + offset        w_j = p_j s_j
//
// with W the weights w rounded to 16 bits and `offset` exact. Two tokens' codes are interleaved in registers, so that one
// integer multiply-add takes both. The error is near 1e-5 of the tile's largest weight; where one token of the tile carries
// more than 1/128 of the attention so far, what rounding left out is added by a second pass with 16 more bits.
//
// Channels of the output stay in the order in which codes unpack until the head is done.

const magic: f32 = 12582912;
const magicBits: i32 = 0x4b400000;
/** What one unit of a second pass is of one of the first. */
const residualUnit: f32 = 1.0 / 32768;

/** Whether values may be added up in integers. */
export function areIntegerValues(form: FormDescriptor, rows: i32): bool {
  return (
    form.kind == 1 &&
    form.encoding >> 8 == 1 &&
    rows <= mostIntegerRows &&
    form.dim % 32 == 0 &&
    form.groupSize % 32 == 0
  );
}

// Scratch: [scales, zeros] of the tile's tokens, floats; the weights of a row, floats; the rounded weights, 16 bits each, pairs
// of three rows side by side where they are taken by threes; what rounding left of them, likewise; then for each row its
// numbers: unit, offset, offset of the second pass.

const floatBytes: usize = tileTokens << 2;
const halfBytes: usize = tileTokens << 1;
/** From a rounded weight to what rounding left of it. */
const restBytes: usize = <usize>mostIntegerRows * halfBytes;

/** Bytes of scratch memory for the weights of integer values. */
export function integerValueBytes(): usize {
  return 3 * floatBytes + 2 * restBytes + 16 * mostIntegerRows;
}

// @ts-ignore: decorator
@inline
function roundedAt(scratch: usize, row: i32, rows: i32): usize {
  const block = row - (row % 3);
  const first = scratch + 3 * floatBytes + <usize>block * halfBytes;
  return block + 3 <= rows ? first + <usize>((row - block) << 2) : first + <usize>(row - block) * halfBytes;
}

// @ts-ignore: decorator
@inline
function tailAt(scratch: usize, row: i32): usize {
  return scratch + 3 * floatBytes + 2 * restBytes + <usize>(row << 4);
}

/**
 * partial rows += weights [rows, tileTokens] . values of tokens `from .. from + count`. Bit r of `peaked`: row r needs both
 * passes.
 */
export function addIntegerValues(
  form: FormDescriptor, head: i32, from: i32, count: i32, weights: usize, rows: i32, peaked: u32, partial: usize,
  scratch: usize,
): void {
  const dim = form.dim,
    groupSize = form.groupSize,
    bits = form.encoding & 0xff;
  const outBytes = <usize>(dim + 2) << 2;
  const groups = (dim + groupSize - 1) / groupSize;
  for (let group = 0; group < groups; group++) {
    readParams(form, head, from, count, group, groups, scratch);
    const first = group * groupSize;
    const channels = min(groupSize, dim - first);
    for (let row = 0; row < rows; row++) {
      const isPeaked = ((peaked >> row) & 1) != 0;
      const rounded = roundedAt(scratch, row, rows);
      const step: usize = row - (row % 3) + 3 <= rows ? 12 : 4;
      const ofRow = weights + <usize>row * floatBytes;
      if (!roundWeights(ofRow, count, bits, isPeaked, scratch, rounded, step, tailAt(scratch, row))) {
        addSlowly(form, head, from, count, first, channels, partial + <usize>row * outBytes, scratch);
      }
    }
    if (bits == 8) addOfBits<Eight>(form, head, from, count, first, channels, rows, peaked, partial, scratch);
    else if (bits == 4) addOfBits<Four>(form, head, from, count, first, channels, rows, peaked, partial, scratch);
    else addOfBits<Two>(form, head, from, count, first, channels, rows, peaked, partial, scratch);
  }
}

/** One row in floats, where its weights are too large or too small to be rounded. */
function addSlowly(
  form: FormDescriptor, head: i32, from: i32, count: i32, first: i32, channels: i32, out: usize, scales: usize,
): void {
  const dim = form.dim,
    bits = form.encoding & 0xff;
  const codeBytes = <usize>rowWords(dim, bits) << 2;
  const half: f32 = <f32>(1 << (bits - 1));
  let codes = <usize>form.data + <usize>(head * form.dataRows + from) * codeBytes;
  for (let token: usize = 0; token < (<usize>count) << 2; token += 4, codes += codeBytes) {
    const zero = load<f32>(scales + floatBytes + token) - half,
      weight = load<f32>(scales + 2 * floatBytes + token);
    for (let channel = first; channel < first + channels; channel++) {
      const bit = channel * bits;
      const code = (<u32>load<u8>(codes + <usize>(bit >> 3)) >> (bit & 7)) & ((1 << bits) - 1);
      const to = out + (<usize>unpackedPlace(channel, dim, bits) << 2);
      store<f32>(to, load<f32>(to) + weight * (<f32>code + zero));
    }
  }
}

/** Scales, and zero points plus half the range of the codes, of one group of channels of a tile's tokens. */
function readParams(
  form: FormDescriptor, head: i32, from: i32, count: i32, group: i32, groups: i32, scales: usize,
): void {
  const zeros = scales + floatBytes;
  const half = f32x4.splat(<f32>(1 << ((form.encoding & 0xff) - 1)));
  let params = <usize>form.params + (<usize>((head * form.paramRows + from) * groups + group) << 2);
  const whole = count & ~3;
  if (groups == 1) {
    for (let i: usize = 0; i < <usize>whole << 2; i += 16) {
      const p = v128.load(params + i);
      v128.store(scales + i, scaleOf(p));
      v128.store(zeros + i, f32x4.add(f32x4.convert_i32x4_s(zeroOf(p)), half));
    }
    params += <usize>whole << 2;
  }
  for (let token = groups == 1 ? whole : 0; token < count; token++, params += <usize>groups << 2) {
    const p = v128.load32_splat(params);
    v128.store32_lane(scales + (<usize>token << 2), scaleOf(p), 0);
    v128.store32_lane(zeros + (<usize>token << 2), f32x4.add(f32x4.convert_i32x4_s(zeroOf(p)), half), 0);
  }
  for (let token = count; token < ((count + 7) & ~7); token++) {
    store<f32>(scales + (<usize>token << 2), 0);
    store<f32>(zeros + (<usize>token << 2), 0);
  }
}

/** Folds a row's weights with the scales and rounds them. False, and zeros: too large or small a number among them. */
function roundWeights(
  weights: usize, count: i32, bits: i32, isPeaked: bool, scales: usize, rounded: usize, step: usize, tail: usize,
): bool {
  const zeros = scales + floatBytes,
    products = zeros + floatBytes;
  const bytes = <usize>((count + 7) & ~7) << 2;
  for (let i = <usize>count << 2; i < bytes; i += 4) store<f32>(weights + i, 0);
  let maxima = f32x4.splat(0),
    exact = maxima;
  for (let i: usize = 0; i < bytes; i += 16) {
    const w = f32x4.mul(v128.load(weights + i), v128.load(scales + i));
    v128.store(products + i, w);
    maxima = f32x4.pmax(maxima, w);
    exact = f32x4.add(exact, f32x4.mul(w, v128.load(zeros + i)));
  }
  const largest = maxOfLanes(maxima);
  // units, and those of a second pass, must be normal numbers
  const rounds = largest > 1e-28 && largest < 1e33;
  const inverse = f32x4.splat(rounds ? 32767 / largest : 0);
  const magics = f32x4.splat(magic),
    integers = i32x4.splat(magicBits),
    residuals = f32x4.splat(32768);
  let sums = f32x4.splat(0),
    errors = sums;
  for (let i: usize = 0; i < bytes; i += 32, rounded += 4 * step) {
    const x = f32x4.mul(v128.load(products + i), inverse),
      y = f32x4.mul(v128.load(products + i, 16), inverse);
    const low = f32x4.add(x, magics),
      high = f32x4.add(y, magics);
    const wholeX = f32x4.sub(low, magics),
      wholeY = f32x4.sub(high, magics);
    sums = f32x4.add(sums, f32x4.add(wholeX, wholeY));
    const restX = f32x4.sub(x, wholeX),
      restY = f32x4.sub(y, wholeY);
    errors = f32x4.add(errors, f32x4.add(restX, restY));
    storePairs(rounded, step, i16x8.narrow_i32x4_s(i32x4.sub(low, integers), i32x4.sub(high, integers)));
    if (!isPeaked) continue;
    const lowRest = f32x4.add(f32x4.mul(restX, residuals), magics),
      highRest = f32x4.add(f32x4.mul(restY, residuals), magics);
    storePairs(
      rounded + restBytes, step, i16x8.narrow_i32x4_s(i32x4.sub(lowRest, integers), i32x4.sub(highRest, integers)),
    );
  }
  const half: f32 = <f32>(1 << (bits - 1));
  const unit: f32 = rounds ? largest / 32767 : 0;
  store<f32>(tail, unit);
  // of nothing but zeros, and NaN, this leaves NaN where there is one
  const isSlow = !rounds && largest != 0;
  store<f32>(tail, isSlow ? 0 : sumOfLanes(exact) - half * unit * sumOfLanes(sums), 4);
  store<f32>(tail, -half * unit * sumOfLanes(errors), 8);
  return !isSlow;
}

// @ts-ignore: decorator
@inline
function storePairs(to: usize, step: usize, pairs: v128): void {
  v128.store32_lane(to, pairs, 0);
  v128.store32_lane(to + step, pairs, 1);
  v128.store32_lane(to + 2 * step, pairs, 2);
  v128.store32_lane(to + 3 * step, pairs, 3);
}

// @ts-ignore: decorator
@inline
function addOfBits<Width>(
  form: FormDescriptor, head: i32, from: i32, count: i32, first: i32, channels: i32, rows: i32, peaked: u32,
  partial: usize, scratch: usize,
): void {
  const bits = <i32>offsetof<Width>();
  const codeBytes = <usize>rowWords(form.dim, bits) << 2;
  const codes =
    <usize>form.data + <usize>(head * form.dataRows + from) * codeBytes + <usize>((first * bits) >> 3);
  const outBytes = <usize>(form.dim + 2) << 2;
  const plane = codeBytes << 2; // outputs of the lowest codes of all bytes, then those of the next
  let out = partial + (<usize>((first * bits) >> 3) << 2);
  let row = 0;
  for (; row + 3 <= rows; row += 3, out += 3 * outBytes, peaked >>= 3) {
    const tail = tailAt(scratch, row),
      w = roundedAt(scratch, row, rows);
    addThreeRows<Width>(codes, codeBytes, count, channels, plane, tail, w, 1, out, outBytes);
    if (peaked & 7) {
      addThreeRows<Width>(codes, codeBytes, count, channels, plane, tail, w + restBytes, residualUnit, out, outBytes);
    }
  }
  for (; row < rows; row++, out += outBytes, peaked >>= 1) {
    const tail = tailAt(scratch, row),
      w = roundedAt(scratch, row, rows);
    addRow<Width>(codes, codeBytes, count, channels, plane, tail, w, 1, out, outBytes);
    if (peaked & 1) addRow<Width>(codes, codeBytes, count, channels, plane, tail, w + restBytes, residualUnit, out, outBytes);
  }
}

/** Codes k of eight bytes each of two tokens, widened to 16 bits and interleaved: of the first four bytes, of the others. */
// @ts-ignore: decorator
@inline
function lowPairs(x: v128, y: v128): v128 {
  return v128.shuffle<u16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
}

// @ts-ignore: decorator
@inline
function highPairs(x: v128, y: v128): v128 {
  return v128.shuffle<u16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
}

// @ts-ignore: decorator
@inline
function dot(sum: v128, a: v128, b: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(a, b));
}

// @ts-ignore: decorator
@inline
function addTo(out: usize, low: v128, high: v128, unit: f32, offset: f32): void {
  const units = f32x4.splat(unit),
    offsets = f32x4.splat(offset);
  const x = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(low), units), offsets);
  const y = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(high), units), offsets);
  v128.store(out, f32x4.add(v128.load(out), x));
  v128.store(out, f32x4.add(v128.load(out, 16), y), 16);
}

/** One pass for three rows: eight channels at a time, down the pairs of tokens. */
// @ts-ignore: decorator
@inline
function addThreeRows<Width>(
  codes: usize, codeBytes: usize, count: i32, channels: i32, plane: usize, tail: usize, weights: usize, part: f32, out: usize,
  outBytes: usize,
): void {
  const bits = <i32>offsetof<Width>();
  for (const end = codes + <usize>((channels * bits) >> 3); codes < end; codes += 8, out += 32) {
    addEightOfThree<Width>(codes, codeBytes, count, 0, tail, weights, part, out, outBytes);
    if (bits <= 4) addEightOfThree<Width>(codes, codeBytes, count, 1, tail, weights, part, out + plane, outBytes);
    if (bits == 2) {
      addEightOfThree<Width>(codes, codeBytes, count, 2, tail, weights, part, out + 2 * plane, outBytes);
      addEightOfThree<Width>(codes, codeBytes, count, 3, tail, weights, part, out + 3 * plane, outBytes);
    }
  }
}

// @ts-ignore: decorator
@inline
function addEightOfThree<Width>(
  codes: usize, codeBytes: usize, count: i32, k: i32, tail: usize, w: usize, part: f32, out: usize, outBytes: usize,
): void {
  let a0 = i32x4.splat(0),
    a1 = a0,
    b0 = a0,
    b1 = a0,
    c0 = a0,
    c1 = a0;
  for (const end = w + <usize>((count >> 1) * 12); w < end; w += 12, codes += 2 * codeBytes) {
    const x = codesOf<Width>(v128.load_ext<u8>(codes), k),
      y = codesOf<Width>(v128.load_ext<u8>(codes + codeBytes), k);
    const low = lowPairs(x, y),
      high = highPairs(x, y);
    const wa = v128.load32_splat(w);
    a0 = dot(a0, wa, low);
    a1 = dot(a1, wa, high);
    const wb = v128.load32_splat(w, 4);
    b0 = dot(b0, wb, low);
    b1 = dot(b1, wb, high);
    const wc = v128.load32_splat(w, 8);
    c0 = dot(c0, wc, low);
    c1 = dot(c1, wc, high);
  }
  if (count & 1) {
    // the neighbour of the last has weight 0
    const x = codesOf<Width>(v128.load_ext<u8>(codes), k),
      y = codesOf<Width>(v128.load_ext<u8>(codes), k);
    const low = lowPairs(x, y),
      high = highPairs(x, y);
    const wa = v128.load32_splat(w);
    a0 = dot(a0, wa, low);
    a1 = dot(a1, wa, high);
    const wb = v128.load32_splat(w, 4);
    b0 = dot(b0, wb, low);
    b1 = dot(b1, wb, high);
    const wc = v128.load32_splat(w, 8);
    c0 = dot(c0, wc, low);
    c1 = dot(c1, wc, high);
  }
  const offset: usize = part == 1 ? 4 : 8;
  addTo(out, a0, a1, part * load<f32>(tail), load<f32>(tail + offset));
  addTo(out + outBytes, b0, b1, part * load<f32>(tail + 16), load<f32>(tail + 16 + offset));
  addTo(out + 2 * outBytes, c0, c1, part * load<f32>(tail + 32), load<f32>(tail + 32 + offset));
}

/** One pass for one row. */
// @ts-ignore: decorator
@inline
function addRow<Width>(
  codes: usize, codeBytes: usize, count: i32, channels: i32, plane: usize, tail: usize, weights: usize, part: f32, out: usize,
  outBytes: usize,
): void {
  const bits = <i32>offsetof<Width>();
  for (const end = codes + <usize>((channels * bits) >> 3); codes < end; codes += 8, out += 32) {
    addEight<Width>(codes, codeBytes, count, 0, tail, weights, part, out, outBytes);
    if (bits <= 4) addEight<Width>(codes, codeBytes, count, 1, tail, weights, part, out + plane, outBytes);
    if (bits == 2) {
      addEight<Width>(codes, codeBytes, count, 2, tail, weights, part, out + 2 * plane, outBytes);
      addEight<Width>(codes, codeBytes, count, 3, tail, weights, part, out + 3 * plane, outBytes);
    }
  }
}

// @ts-ignore: decorator
@inline
function addEight<Width>(
  codes: usize, codeBytes: usize, count: i32, k: i32, tail: usize, w: usize, part: f32, out: usize, outBytes: usize,
): void {
  let a0 = i32x4.splat(0),
    a1 = a0;
  for (const end = w + (<usize>(count >> 1) << 2); w < end; w += 4, codes += 2 * codeBytes) {
    const x = codesOf<Width>(v128.load_ext<u8>(codes), k),
      y = codesOf<Width>(v128.load_ext<u8>(codes + codeBytes), k);
    const weights = v128.load32_splat(w);
    a0 = dot(a0, weights, lowPairs(x, y));
    a1 = dot(a1, weights, highPairs(x, y));
  }
  if (count & 1) {
    const x = codesOf<Width>(v128.load_ext<u8>(codes), k),
      y = codesOf<Width>(v128.load_ext<u8>(codes), k);
    const weights = v128.load32_splat(w);
    a0 = dot(a0, weights, lowPairs(x, y));
    a1 = dot(a1, weights, highPairs(x, y));
  }
  addTo(out, a0, a1, part * load<f32>(tail), load<f32>(tail + <usize>(part == 1 ? 4 : 8)));
}

/** The channels of a head's outputs from the order of unpacked codes into their own. */
export function reorderOutputs(form: FormDescriptor, rows: i32, partial: usize, scratch: usize): void {
  const dim = form.dim,
    bits = form.encoding & 0xff;
  if (bits == 8) return;
  const bytes = <usize>dim << 2;
  for (let row = 0; row < rows; row++, partial += bytes + 8) {
    memory.copy(scratch, partial, bytes);
    for (let channel = 0; channel < dim; channel++) {
      const place = unpackedPlace(channel, dim, bits);
      store<f32>(partial + (<usize>channel << 2), load<f32>(scratch + (<usize>place << 2)));
    }
  }
}
