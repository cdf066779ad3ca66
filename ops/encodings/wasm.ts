import type * as tf from '@tensorflow/tfjs';
import type {WasmHeap} from '../backends/wasm_heap.js';
import type {InfoOf} from '../run_op.js';
import {tokenKindOf, type TokenLayout} from './token_kinds.js';

/**
 * What rebuilds keys from latents that were stored before their rotation, or adds a rotated mean to their scores; `cos`, `sin` float32
 * `[positions, pairs]`.
 */
export interface Rebuilding {
  /** Of keys that are rebuilt; others have a rotated mean (see `meanAngles`). */
  readonly basis: InfoOf<tf.Tensor4D> | undefined;
  readonly mean: tf.TensorInfo | undefined;
  readonly cos: InfoOf<tf.Tensor2D>;
  readonly sin: InfoOf<tf.Tensor2D>;
  readonly interleaved: boolean;
  /** int32 `[batch, kvHeads, rows]`; if missing, the tokens have positions without gaps from `firstPosition` on. */
  readonly positions: tf.TensorInfo | undefined;
  readonly firstPosition: number;
}

/**
 * What a kernel needs to know to read an encoding: the words of `EncodingDescriptor` in ops/assembly/encoding_descriptor.ts, in
 * their order.
 *
 * @param bias of keys: float32 `[batch, kvHeads, rows, 1]`, added to the score of each token.
 */
export function describeEncoding(
  heap: WasmHeap,
  layout: TokenLayout,
  data: tf.TensorInfo,
  params: tf.TensorInfo | undefined,
  rebuilding?: Rebuilding,
  bias?: tf.TensorInfo,
): number[] {
  const {wasm} = tokenKindOf(layout);
  return [
    wasm.kind,
    heap.address(data),
    data.shape[2]!,
    layout.dim,
    params === undefined ? 0 : heap.address(params),
    params?.shape[2] ?? 0,
    wasm.layout(layout, heap),
    wasm.groupSize(layout),
    ...(rebuilding === undefined ? nothingToRebuild : describeRebuilding(rebuilding, heap)),
    bias === undefined ? 0 : heap.address(bias),
    bias?.shape[2] ?? 0,
  ];
}

const nothingToRebuild = Array<number>(12).fill(0);

/** Bytes of what `describeEncoding` gives. */
export const descriptorBytes = 4 * (8 + nothingToRebuild.length + 2);

function describeRebuilding(
  {basis, mean, cos, sin, interleaved, positions, firstPosition}: Rebuilding,
  heap: WasmHeap,
): number[] {
  const addressOf = (tensor: tf.TensorInfo | undefined) => (tensor === undefined ? 0 : heap.address(tensor));
  const [tablePositions, pairs] = cos.shape;
  return [
    addressOf(basis),
    addressOf(mean),
    basis?.shape[3] ?? 0,
    addressOf(cos),
    addressOf(sin),
    tablePositions,
    pairs,
    interleaved ? 1 : 0,
    addressOf(positions),
    positions?.shape[2] ?? 0,
    firstPosition,
    basis === undefined ? preparedTerms(heap, cos, sin) : 0,
  ];
}

/** What kernels of rotated means take of the tables of a rotation: once for all depths and tokens. */
function preparedTerms(heap: WasmHeap, cos: InfoOf<tf.Tensor2D>, sin: InfoOf<tf.Tensor2D>): number {
  return heap.table(cos.dataId, () => {
    const [positions, pairs] = cos.shape;
    const bytes = heap.kernels.preparedTermsBytes(pairs);
    const at = heap.scratch(bytes);
    heap.kernels.prepareTerms(heap.address(cos), heap.address(sin), positions, pairs, at);
    return heap.wordsAt(at, bytes / 4);
  });
}
