import {dequantizeTile} from './dequantize';
import {decodeFloat8Rows} from './float8';
import {FormDescriptor} from './encoding_descriptor';
import {multiplyAdd} from './multiply_add';
import {rotate} from './rotate';
import {tileTokens} from './scores';

/** The dim of a tile's rows. */
export function dimOf(form: FormDescriptor): i32 {
  return form.basis ? form.fullDim : form.dim;
}

/** Whether tokens are met where they are stored. */
export function isInPlace(form: FormDescriptor): bool {
  return form.kind == 0 && !form.basis;
}

/** Bytes that `readTile` may write at its scratch: the tile, and the latents it is made of behind it. */
export function tileBytes(form: FormDescriptor): usize {
  return (<usize>(tileTokens * (form.basis ? form.fullDim + form.dim : form.dim))) << 2;
}

/** The address of tokens `from .. from + count` of one head as dense rows: in place where dense, else made at `scratch`. */
export function readTile(form: FormDescriptor, head: i32, from: i32, count: i32, scratch: usize): usize {
  if (!form.basis) return readStored(form, head, from, count, scratch);
  const latents = readStored(form, head, from, count, scratch + ((<usize>(tileTokens * form.fullDim)) << 2));
  rebuild(form, head, latents, count, scratch);
  rotateTokens(form, head, from, count, scratch);
  return scratch;
}

function readStored(form: FormDescriptor, head: i32, from: i32, count: i32, scratch: usize): usize {
  const dim = form.dim;
  const first = <usize>(head * form.dataRows + from);
  if (form.kind == 0) return <usize>form.data + ((first * <usize>dim) << 2);
  if (form.kind == 1) {
    dequantizeTile(form, head, from, count, scratch);
    return scratch;
  }
  const codeBytes = (<usize>((dim + 3) >> 2)) << 2;
  const scales = <usize>form.params + ((<usize>(head * form.paramRows + from)) << 2);
  decodeFloat8Rows(<usize>form.data + first * codeBytes, scales, count, dim, form.encoding, scratch);
  return scratch;
}

/** out = latents . basis + mean. */
function rebuild(form: FormDescriptor, head: i32, latents: usize, count: i32, out: usize): void {
  const rank = form.dim,
    dim = form.fullDim;
  const rowBytes = (<usize>dim) << 2;
  if (form.mean) {
    for (let token = 0; token < count; token++) {
      memory.copy(out + <usize>token * rowBytes, <usize>form.mean + <usize>head * rowBytes, rowBytes);
    }
  } else {
    memory.fill(out, 0, <usize>count * rowBytes);
  }
  const basis = <usize>form.basis + <usize>(head * rank) * rowBytes;
  multiplyAdd(latents, (<usize>rank) << 2, basis, out, rowBytes, count, rank, dim);
}

/** Turns each token of a tile, in place, by the angles of its own position. */
function rotateTokens(form: FormDescriptor, head: i32, from: i32, count: i32, tile: usize): void {
  const dim = form.fullDim,
    pairs = form.pairs;
  const angleBytes = (<usize>pairs) << 2;
  if (!form.positions) {
    const offset = <usize>(form.firstPosition + from) * angleBytes;
    const cosines = <usize>form.cosines + offset,
      sines = <usize>form.sines + offset;
    rotate(tile, cosines, sines, tile, 1, count, dim, pairs, form.interleaved);
    return;
  }
  const positions = <usize>form.positions + ((<usize>(head * form.positionRows + from)) << 2);
  for (let token = 0; token < count; token++, tile += (<usize>dim) << 2) {
    const position = load<u32>(positions + ((<usize>token) << 2));
    if (position >= <u32>form.tablePositions) {
      // no angle for it: NaN shows, another position's angle would not
      for (let i = 0; i < dim; i++) store<f32>(tile + ((<usize>i) << 2), NaN);
      continue;
    }
    const offset = <usize>position * angleBytes;
    const cosines = <usize>form.cosines + offset,
      sines = <usize>form.sines + offset;
    rotate(tile, cosines, sines, tile, 1, 1, dim, pairs, form.interleaved);
  }
}
