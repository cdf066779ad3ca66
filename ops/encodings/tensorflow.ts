import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';
import {
  foldsInto,
  integerKeyProducts,
  integerValueSums,
  type IntegerTile,
} from './integer_products_tensorflow.js';
import {tokenKindOf, type TokenLayout} from './token_kinds.js';

/** Tokens `from .. from + count` of an encoding, as ops take it. */
export interface StoredTile {
  readonly data: Handle;
  readonly params: Handle | undefined;
  readonly layout: TokenLayout;
  readonly from: number;
  readonly count: number;
}

/** Decoded: float32 `[batch, kvHeads, count, dim]`. */
export function decodedTile(ops: TensorflowOps, {data, params, layout, from, count}: StoredTile): Handle {
  return tokenKindOf(layout).decodeTensorflow(ops, data, params, layout, from, count);
}

/** `q . k` of float32 `[batch, kvHeads, rows, dim]` and the keys of a tile: `[batch, kvHeads, rows, count]`. */
export function keyProducts(ops: TensorflowOps, queries: Handle, tile: StoredTile): Handle {
  const integers = foldedTile(tile, queries.shape[2]!);
  if (integers !== undefined) return integerKeyProducts(ops, queries, integers);
  return ops.matMul(queries, decodedTile(ops, tile), {transposeB: true});
}

/** `sum_t w_t v_t` of float32 `[batch, kvHeads, rows, count]` and the values of a tile: `[batch, kvHeads, rows, dim]`. */
export function valueSums(ops: TensorflowOps, weights: Handle, tile: StoredTile): Handle {
  const integers = foldedTile(tile, weights.shape[2]!);
  if (integers !== undefined) return integerValueSums(ops, weights, integers);
  return ops.matMul(weights, decodedTile(ops, tile));
}

function foldedTile({data, params, layout, from, count}: StoredTile, rows: number): IntegerTile | undefined {
  if (layout.kind !== 'integer' || !foldsInto({layout, from, count}, rows)) return undefined;
  return {data, params: params!, layout, from, count};
}

/** Numbers of a decoded tile: they fit the cache of a core. */
const numbersOfTile = 2 ** 19;

/** How many tokens are decoded at a time, in whole groups if they are not too large. @param perToken numbers of a token, of all heads. */
export function tokensOfTile(perToken: number, layouts: readonly TokenLayout[]): number {
  const groups = layouts.map(layout =>
    layout.kind === 'integer' && layout.groupAxis === 'channel' ? layout.groupSize : 16,
  );
  const whole = groups.reduce((a, b) => (a * b) / greatestDivisor(a, b));
  const most = Math.max(256, Math.floor(numbersOfTile / perToken));
  return most - (most % (whole > most ? 16 : whole));
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
