import type * as tf from '@tensorflow/tfjs';
import {type Handle, type TensorflowOps, tensorflowTensor} from '../backends/tensorflow_ops.js';
import {registerKernel, type KernelInputs} from '../run_op.js';
import {denseKeyProducts, denseValueSums} from './dense_tensorflow.js';
import {decodeFloat8} from './float8_tensorflow.js';
import type {IntegerSide} from './integer_places_tensorflow.js';
import {foldsInto, integerKeyProducts, integerValueSums} from './integer_products_tensorflow.js';
import {decodeIntegers} from './integer_tensorflow.js';
import {decodeLloydMax} from './lloyd_max_tensorflow.js';
import {runOf, type StoredSide, type Tile} from './tiles_tensorflow.js';
import type {TokenLayout} from './token_kinds.js';

registerKernel('DecodeTokens', 'tensorflow', decodeTensorflow);

function decodeTensorflow(
  {data, params}: KernelInputs<{data: tf.Tensor4D; params?: tf.Tensor4D}>,
  {layout, ...tile}: Tile & {readonly layout: TokenLayout},
): tf.TensorInfo {
  return tensorflowTensor(ops =>
    decodedTile(ops, {data: ops.of(data), params: params && ops.of(params), layout}, tile),
  );
}

/** Decoded: float32 `[batch, kvHeads, count, dim]`. */
export function decodedTile(
  ops: TensorflowOps,
  {data, params, layout}: StoredSide,
  {from, count}: Tile,
): Handle {
  switch (layout.kind) {
    case 'dense':
      return ops.part(data, 2, from, count);
    case 'integer':
      return decodeIntegers(ops, data, params!, layout, from, count);
    case 'float8':
      return decodeFloat8(ops, data, params!, layout, [from, count]);
    case 'lloydMax':
      return decodeLloydMax(ops, data, params!, layout, from, count);
    default:
      return layout satisfies never;
  }
}

/** `q . k` of float32 `[batch, kvHeads, rows, dim]` and keys of tiles that follow each other: `[batch, kvHeads, rows, their tokens]`. */
export function keyProducts(
  ops: TensorflowOps,
  queries: Handle,
  side: StoredSide,
): (tiles: readonly Tile[]) => Handle {
  const decoding = (tiles: readonly Tile[]) =>
    ops.concat(
      tiles.map(tile => ops.matMul(queries, decodedTile(ops, side, tile), {transposeB: true})),
      3,
    );
  if (side.layout.kind === 'dense') return tiles => denseKeyProducts(ops, queries, side, runOf(tiles));
  if (!isFolded(side, queries.shape[2]!)) return decoding;
  const folding = integerKeyProducts(ops, queries, side);
  return tiles => (areWhole(side.layout, tiles) ? folding(tiles) : decoding(tiles));
}

/** `sum_t w_t v_t` of float32 `[batch, kvHeads, rows, tokens of the tiles]` and values of these: `[batch, kvHeads, rows, dim]`. */
export function valueSums(
  ops: TensorflowOps,
  rows: number,
  side: StoredSide,
): (weights: Handle, tiles: readonly Tile[]) => Handle {
  const decoding = (weights: Handle, tiles: readonly Tile[]) =>
    tiles
      .map(tile => {
        const own = ops.part(weights, 3, tile.from - tiles[0]!.from, tile.count);
        return ops.matMul(own, decodedTile(ops, side, tile));
      })
      .reduce((a, b) => ops.add(a, b));
  if (side.layout.kind === 'dense')
    return (weights, tiles) => denseValueSums(ops, weights, side, runOf(tiles));
  if (!isFolded(side, rows)) return decoding;
  const folding = integerValueSums(ops, side);
  return (weights, tiles) =>
    areWhole(side.layout, tiles) ? folding(weights, tiles) : decoding(weights, tiles);
}

function isFolded(side: StoredSide, rows: number): side is IntegerSide {
  return side.layout.kind === 'integer' && foldsInto(side.layout, rows);
}

/** Whether tiles consist of whole groups. */
function areWhole(layout: IntegerSide['layout'], tiles: readonly Tile[]): boolean {
  const {groupAxis, groupSize} = layout;
  if (groupAxis === 'token') return true;
  return tiles.every(({from, count}) => from % groupSize === 0 && count % groupSize === 0);
}
