/**
 * How one side of attention is stored: a token encoding, and what rebuilds its tokens if they are latents of keys stored before
 * their rotation. 32-bit words, written by ops/encodings/wasm.ts; zero if not needed.
 */
// @ts-ignore: decorator
@unmanaged
export class EncodingDescriptor {
  kind: i32; // 0 dense, 1 integer, 2 float8: `wasm.kind` of each record in ops/encodings
  data: u32;
  dataRows: i32; // rows allocated per head, spare capacity included
  dim: i32; // of what is stored
  params: u32; // integer: scales and zero points; float8: scales
  paramRows: i32;
  layout: i32; // integer: bits | axis << 8; axis 0: groups run along tokens, 1: along channels. float8: the format
  groupSize: i32;
  basis: u32; // [heads, dim, fullDim], or 0: tokens are what they are
  mean: u32; // [heads, fullDim], or 0
  fullDim: i32;
  cosines: u32; // [positions, pairs]
  sines: u32;
  tablePositions: i32;
  pairs: i32;
  interleaved: i32;
  positions: u32; // int32 [heads, positionRows], or 0: token t has position firstPosition + t
  positionRows: i32;
  firstPosition: i32;
}
