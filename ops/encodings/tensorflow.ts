import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';
import {
  foldsInto,
  integerKeyProducts,
  integerValueSums,
  type IntegerSide,
} from './integer_products_tensorflow.js';
import {tokenKindOf} from './token_kinds.js';
import type {StoredSide, Tile} from './tiles_tensorflow.js';

/** Decoded: float32 `[batch, kvHeads, count, dim]`. */
export function decodedTile(
  ops: TensorflowOps,
  {data, params, layout}: StoredSide,
  {from, count}: Tile,
): Handle {
  return tokenKindOf(layout).decodeTensorflow(ops, data, params, layout, from, count);
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
