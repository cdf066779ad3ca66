import {dequantizeTile} from './dequantize';
import {decodeFloat8Rows} from './float8';
import {EncodingDescriptor} from './encoding_descriptor';
import {rowWords} from './integer';
import {decodeBytes, decodeLevels} from './lloyd_max';
import {multiplyAdd} from './multiply_add';
import {rotate} from './rotate';
import {tileTokens} from './scores';

/** The dim of a tile's rows. */
export function dimOf(encoding: EncodingDescriptor): i32 {
  return encoding.basis ? encoding.fullDim : encoding.dim;
}

/** Whether tokens are read where they are stored. */
export function isInPlace(encoding: EncodingDescriptor): bool {
  return encoding.kind == 0 && !encoding.basis;
}

/** Bytes that `readTile` may write at its scratch: the tile, the latents that it is made of, and what decoding these takes. */
export function tileBytes(encoding: EncodingDescriptor): usize {
  return decodingAt(encoding) + (encoding.kind == 3 ? decodeBytes : 0);
}

function decodingAt(encoding: EncodingDescriptor): usize {
  return (<usize>(tileTokens * (encoding.basis ? encoding.fullDim + encoding.dim : encoding.dim))) << 2;
}

/** The address of tokens `from .. from + count` of one head as dense rows: in place if dense, else decoded to `scratch`. */
export function readTile(encoding: EncodingDescriptor, head: i32, from: i32, count: i32, scratch: usize): usize {
  const work = scratch + decodingAt(encoding);
  if (!encoding.basis) return readStored(encoding, head, from, count, scratch, work);
  const latents = readStored(encoding, head, from, count, scratch + ((<usize>(tileTokens * encoding.fullDim)) << 2), work);
  rebuild(encoding, head, latents, count, scratch);
  rotateTokens(encoding, head, from, count, scratch);
  return scratch;
}

/**
 * Loads a number of each line of memory of stored tokens. What is read with gaps comes late, and reading a third of the lines takes longer than
 * reading all of them in sequence: processors read those ahead.
 */
export function touchTokens(encoding: EncodingDescriptor, head: i32, from: i32, count: i32): void {
  const bytes = tokenBytes(encoding);
  let line = <usize>encoding.data + <usize>(head * encoding.dataRows + from) * bytes;
  for (const end = line + <usize>count * bytes; line < end; line += 64) load<u32>(line);
}

/** Bytes of the stored numbers or codes of a token; 0 if tokens are not one after the other. */
function tokenBytes(encoding: EncodingDescriptor): usize {
  if (encoding.kind == 0) return <usize>encoding.dim << 2;
  if (encoding.kind == 1) return <usize>rowWords(encoding.dim, encoding.layout & 0xff) << 2;
  return encoding.kind == 2 ? <usize>((encoding.dim + 3) & ~3) : 0;
}

/** Bytes of scratch memory that `decodeTokens` takes. */
export function decodeTokensScratch(): usize {
  return decodeBytes;
}

/** Decodes tokens `from .. from + count` of every head: out [heads, count, dim]. */
export function decodeTokens(descriptor: usize, heads: i32, from: i32, count: i32, out: usize, scratch: usize): void {
  const encoding = changetype<EncodingDescriptor>(descriptor);
  const headBytes = (<usize>(count * encoding.dim)) << 2;
  for (let head = 0; head < heads; head++, out += headBytes) {
    const at = readStored(encoding, head, from, count, out, scratch);
    if (at != out) memory.copy(out, at, headBytes);
  }
}

/** The address of stored tokens as rows: in place if dense, else decoded to `to`. */
function readStored(encoding: EncodingDescriptor, head: i32, from: i32, count: i32, to: usize, scratch: usize): usize {
  const dim = encoding.dim;
  const first = <usize>(head * encoding.dataRows + from);
  if (encoding.kind == 0) return <usize>encoding.data + ((first * <usize>dim) << 2);
  if (encoding.kind == 1) {
    dequantizeTile(encoding, head, from, count, to);
    return to;
  }
  if (encoding.kind == 3) {
    decodeLevels(encoding, head, from, count, to, scratch);
    return to;
  }
  const codeBytes = (<usize>((dim + 3) >> 2)) << 2;
  const scales = <usize>encoding.params + ((<usize>(head * encoding.paramRows + from)) << 2);
  decodeFloat8Rows(<usize>encoding.data + first * codeBytes, scales, count, dim, encoding.layout, to);
  return to;
}

/** out = latents . basis + mean. */
function rebuild(encoding: EncodingDescriptor, head: i32, latents: usize, count: i32, out: usize): void {
  const rank = encoding.dim,
    dim = encoding.fullDim;
  const rowBytes = (<usize>dim) << 2;
  if (encoding.mean) {
    for (let token = 0; token < count; token++) {
      memory.copy(out + <usize>token * rowBytes, <usize>encoding.mean + <usize>head * rowBytes, rowBytes);
    }
  } else {
    memory.fill(out, 0, <usize>count * rowBytes);
  }
  const basis = <usize>encoding.basis + <usize>(head * rank) * rowBytes;
  multiplyAdd(latents, (<usize>rank) << 2, basis, out, rowBytes, count, rank, dim);
}

/** Rotates each token of a tile, in place, by the angles of its own position. */
function rotateTokens(encoding: EncodingDescriptor, head: i32, from: i32, count: i32, tile: usize): void {
  const dim = encoding.fullDim,
    pairs = encoding.pairs;
  const angleBytes = (<usize>pairs) << 2;
  if (!encoding.positions) {
    const offset = <usize>(encoding.firstPosition + from) * angleBytes;
    const cosines = <usize>encoding.cosines + offset,
      sines = <usize>encoding.sines + offset;
    rotate(tile, cosines, sines, tile, 1, count, dim, pairs, encoding.interleaved);
    return;
  }
  const positions = <usize>encoding.positions + ((<usize>(head * encoding.positionRows + from)) << 2);
  for (let token = 0; token < count; token++, tile += (<usize>dim) << 2) {
    const position = load<u32>(positions + ((<usize>token) << 2));
    if (position >= <u32>encoding.tablePositions) {
      // there is no angle for it: NaN shows, another position's angle would not
      for (let i = 0; i < dim; i++) store<f32>(tile + ((<usize>i) << 2), NaN);
      continue;
    }
    const offset = <usize>position * angleBytes;
    const cosines = <usize>encoding.cosines + offset,
      sines = <usize>encoding.sines + offset;
    rotate(tile, cosines, sines, tile, 1, 1, dim, pairs, encoding.interleaved);
  }
}
