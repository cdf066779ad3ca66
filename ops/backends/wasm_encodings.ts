import type * as tf from '@tensorflow/tfjs';
import type {TokenLayout} from '../encodings/encoding.js';
import type {WasmHeap} from './wasm_heap.js';

/** Bytes of an encoding's descriptor; the order of its words is that of `EncodingDescriptor` in ops/assembly/encoding_descriptor.ts. */
export const descriptorBytes = 80;

/** Tokens of a tile, as in ops/assembly/scores.ts. */
const tileTokens = 64;

/** What rebuilds keys from latents that were stored before their rotation; `cos`, `sin` float32 `[positions, pairs]`. */
export interface Rebuilding {
  readonly basis: tf.TensorInfo;
  readonly mean: tf.TensorInfo | undefined;
  readonly cos: tf.TensorInfo;
  readonly sin: tf.TensorInfo;
  readonly interleaved: boolean;
  /** int32 `[batch, kvHeads, rows]`; where missing, the tokens have positions without gaps from `firstPosition` on. */
  readonly positions: tf.TensorInfo | undefined;
  readonly firstPosition: number;
}

/** What a kernel needs to know to read an encoding: the words of its descriptor, for scratch memory. */
export function describeEncoding(
  heap: WasmHeap,
  layout: TokenLayout,
  data: tf.TensorInfo,
  params: tf.TensorInfo | undefined,
  rebuilding?: Rebuilding,
): number[] {
  return [
    kinds.indexOf(layout.kind),
    heap.address(data),
    data.shape[2]!,
    layout.dim,
    params === undefined ? 0 : heap.address(params),
    params?.shape[2] ?? 0,
    encodingOf(layout),
    layout.kind === 'integer' ? layout.groupSize : 0,
    ...(rebuilding === undefined ? nothingToRebuild : describeRebuilding(rebuilding, heap)),
  ];
}

const nothingToRebuild = Array<number>(11).fill(0);

const kinds = ['dense', 'integer', 'float8'];

function encodingOf(layout: TokenLayout): number {
  switch (layout.kind) {
    case 'dense':
      return 0;
    case 'integer':
      return layout.bits | ((layout.groupAxis === 'channel' ? 0 : 1) << 8);
    case 'float8':
      return layout.format === 'e4m3' ? 0 : 1;
  }
}

function describeRebuilding(
  {basis, mean, cos, sin, interleaved, positions, firstPosition}: Rebuilding,
  heap: WasmHeap,
): number[] {
  const addressOf = (tensor: tf.TensorInfo | undefined) => (tensor === undefined ? 0 : heap.address(tensor));
  const [tablePositions, pairs] = cos.shape as [number, number];
  return [
    addressOf(basis),
    addressOf(mean),
    basis.shape[3]!,
    addressOf(cos),
    addressOf(sin),
    tablePositions,
    pairs,
    interleaved ? 1 : 0,
    addressOf(positions),
    positions?.shape[2] ?? 0,
    firstPosition,
  ];
}

/** Bytes of scratch memory that a kernel needs for one tile of an encoding, and for the latents that it is rebuilt from. */
export function tileScratchBytes(layout: TokenLayout, rebuilding?: Rebuilding): number {
  const floats = tileTokens * (layout.dim + (rebuilding?.basis.shape[3] ?? 0));
  return 4 * floats;
}

/** Bytes of scratch memory for a transposed tile of keys and the scores of `rows` rows of queries, room to spare included. */
export function scoreScratchBytes(dim: number, rows: number): number {
  return 4 * (tileTokens * (dim + rows) + 64);
}

/** Bytes of scratch memory for four blocks of rows that decoding meets together: ops/assembly/row_blocks.ts. */
export function blockScratchBytes(dim: number, dimV: number): number {
  const channels = (of: number) => 16 * (of + 9); // a vector for each channel left over
  return 4 * (48 + 32 * tileTokens + channels(dim) + channels(dimV));
}

/**
 * Bytes of scratch memory for what these blocks need beside to meet integer codes: in ops/assembly, `groupBytes`,
 * `integerBlockBytes` for each and `integerValueBytes`.
 */
export function integerScratchBytes(dim: number): number {
  return 8 * dim + 4 * (272 + tileTokens + 32 * dim) + (33 * tileTokens + 48);
}

/** Bytes of scratch memory for the gradient of attention: a tile of keys and of values, and three of tile by tile numbers. */
export function gradientScratchBytes(dim: number, dimV: number): number {
  return 4 * tileTokens * (dim + dimV + 3 * tileTokens) + 256;
}
