import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';
import type {StoredSide, Tile} from './tiles_tensorflow.js';

// Products with dense tokens by TensorFlow's ops. Its `Slice` shares memory only along the first axis, so tokens of a buffer with spare capacity are
// multiplied head by head, where they lie: a copy takes twice as long as the product.

/** Fewer numbers of a head are copied with those of the others: each head takes three ops. */
const fewestNumbers = 2 ** 16;

/** `q . k` of float32 `[batch, kvHeads, rows, dim]`: `[batch, kvHeads, rows, count]`. */
export function denseKeyProducts(ops: TensorflowOps, queries: Handle, side: StoredSide, tile: Tile): Handle {
  return byHead(ops, queries, side, tile, (own, keys) => ops.matMul(own, keys, {transposeB: true}));
}

/** `sum_t w_t v_t` of float32 `[batch, kvHeads, rows, count]`: `[batch, kvHeads, rows, dim]`. */
export function denseValueSums(ops: TensorflowOps, weights: Handle, side: StoredSide, tile: Tile): Handle {
  return byHead(ops, weights, side, tile, (own, values) => ops.matMul(own, values));
}

/** Products of rows `[batch, kvHeads, rows, ...]` and the tokens of a tile. */
function byHead(
  ops: TensorflowOps,
  factors: Handle,
  {data}: StoredSide,
  {from, count}: Tile,
  product: (factors: Handle, tokens: Handle) => Handle,
): Handle {
  const [batch, kvHeads, capacity, dim] = data.shape as [number, number, number, number];
  if (count === capacity || count * dim < fewestNumbers)
    return product(factors, ops.part(data, 2, from, count));
  const [, , rows, columns] = factors.shape as [number, number, number, number];
  const heads = batch * kvHeads;
  const [allFactors, allTokens] = [
    ops.reshape(factors, [heads * rows, columns]),
    ops.reshape(data, [heads * capacity, dim]),
  ];
  const products = Array.from({length: heads}, (_, head) =>
    product(
      ops.part(allFactors, 0, head * rows, rows),
      ops.part(allTokens, 0, head * capacity + from, count),
    ),
  );
  return ops.reshape(ops.concat(products, 0), [batch, kvHeads, rows, products[0]!.shape[1]!]);
}
