/**
 * How one side of attention is stored: a token encoding, and what rebuilds its tokens if they are latents of keys stored before
 * their rotation. 32-bit words, written by ops/encodings/wasm.ts; zero if not needed.
 */
// @ts-ignore: decorator
@unmanaged
export class EncodingDescriptor {
  kind: i32; // 0 dense, 1 integer, 2 float8, 3 lloydMax: `wasm.kind` of each record in ops/encodings
  data: u32;
  dataRows: i32; // rows allocated per head, spare capacity included; lloydMax: tiles
  dim: i32; // of what is stored
  params: u32; // integer: scales and zero points; float8, lloydMax: scales
  paramRows: i32;
  // integer: bits | axis << 8; axis 0: groups run along tokens, 1: along channels. float8: the format. lloydMax: an address (lloyd_max.ts)
  layout: i32;
  groupSize: i32; // lloydMax: the key heads, which share a row
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
  terms: u32; // what mean_terms.ts prepared for keys with a rotated mean, or 0
  bias: u32; // of keys: float32 [heads, biasRows], added to the score of each token, or 0
  biasRows: i32;
}
