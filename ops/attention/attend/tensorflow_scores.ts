import type * as tf from '@tensorflow/tfjs';
import type {Handle, TensorflowOps} from '../../backends/tensorflow_ops.js';
import {decodedTile, keyProducts} from '../../encodings/tensorflow.js';
import {runOf, type Tile} from '../../encodings/tiles_tensorflow.js';
import type {InfoOf, KernelInputs} from '../../run_op.js';
import type {Scoring} from '../scoring.js';
import type {KeyAttributes, KeyInputs} from './types.js';
import type {Visibility} from './visibility.js';

// The scores of queries and a tile of keys by TensorFlow's ops: see `attend`.

export interface ScoredKeys {
  /** float32 `[batch, kvHeads, rows, dim]`, row r of query `r % queryTokens`. */
  readonly queries: Handle;
  readonly queryTokens: number;
  readonly inputs: KernelInputs<KeyInputs>;
  readonly attributes: KeyAttributes & Visibility & Pick<Scoring, 'scale' | 'softCap'>;
}

/**
 * Scores of the tokens of tiles that follow each other: float32 `[batch, kvHeads, rows, tokens]`; -Infinity where a query does not see a token.
 */
export function scorer(ops: TensorflowOps, keys: ScoredKeys): (tiles: readonly Tile[]) => Handle {
  const {queries, inputs, attributes} = keys;
  const {scale, softCap} = attributes;
  const [batch, kvHeads, rows] = queries.shape as [number, number, number];
  const {meanAngles, bias, shift} = inputs;
  const products = productsOf(ops, keys);
  return tiles => {
    const {from, count} = runOf(tiles);
    let scores = products(tiles);
    if (meanAngles !== undefined) {
      const angles = ops.reshape(ops.of(meanAngles), [batch, kvHeads, rows, meanAngles.shape[3]]);
      const tables = ops.concat(tablesOf(ops, keys, from, count), 3);
      scores = ops.add(scores, ops.matMul(angles, tables, {transposeB: true}));
    }
    scores = ops.mul(scores, scale);
    if (shift !== undefined) scores = ops.add(scores, ops.reshape(ops.of(shift), [batch, kvHeads, rows, 1]));
    if (softCap !== undefined) scores = ops.mul(ops.tanh(ops.div(scores, softCap)), softCap);
    if (bias !== undefined) {
      const own = ops.part(ops.of(bias), 2, from, count);
      scores = ops.add(scores, ops.reshape(own, [batch, kvHeads, 1, count]));
    }
    const seen = seenOf(ops, keys, from, count);
    return seen === undefined ? scores : ops.select(seen, scores, ops.floats([-Infinity], [1, 1, 1, 1]));
  };
}

function productsOf(ops: TensorflowOps, keys: ScoredKeys): (tiles: readonly Tile[]) => Handle {
  const {queries, inputs, attributes} = keys;
  const {keyData, keyParams, keyBasis, keyMean} = inputs;
  const params = keyParams === undefined ? undefined : ops.of(keyParams);
  const side = {data: ops.of(keyData), params, layout: attributes.keys};
  if (attributes.rotation === undefined || keyBasis === undefined) return keyProducts(ops, queries, side);
  const [basis, mean] = [ops.of(keyBasis), keyMean && ops.of(keyMean)];
  const productsOfTile = (tile: Tile) => {
    const latent = ops.matMul(decodedTile(ops, side, tile), basis);
    const rebuilt = mean === undefined ? latent : ops.add(latent, mean);
    const turned = rotated(ops, keys, rebuilt, tablesOf(ops, keys, tile.from, tile.count));
    return ops.matMul(queries, turned, {transposeB: true});
  };
  return tiles => ops.concat(tiles.map(productsOfTile), 3);
}

/** Cosines and sines at the positions of tokens `from .. from + count`: float32 `[batch or 1, kvHeads or 1, count, pairs]`. */
function tablesOf(
  ops: TensorflowOps,
  {inputs, attributes}: ScoredKeys,
  from: number,
  count: number,
): [Handle, Handle] {
  const {cos, sin, positions} = inputs;
  const pairs = cos!.shape[1];
  const tables = [ops.of(cos!), ops.of(sin!)];
  if (positions === undefined) {
    const first = attributes.rotation!.firstPosition + from;
    return tables.map(table => ops.reshape(ops.part(table, 0, first, count), [1, 1, count, pairs])) as [
      Handle,
      Handle,
    ];
  }
  const [batch, kvHeads, rows] = positions.shape as [number, number, number];
  const own = ops.part(ops.reshape(ops.of(positions), [batch, kvHeads, rows]), 2, from, count);
  return tables.map(table => ops.gather(table, own)) as [Handle, Handle];
}

function rotated(
  ops: TensorflowOps,
  {attributes}: ScoredKeys,
  keys: Handle,
  [cos, sin]: readonly [Handle, Handle],
): Handle {
  const [batch, kvHeads, count, dim] = keys.shape as [number, number, number, number];
  const pairs = cos.shape[3]!;
  const paired = ops.part(keys, 3, 0, 2 * pairs);
  const {interleaved} = attributes.rotation!;
  const halves = interleaved
    ? ops.transpose(ops.reshape(paired, [batch, kvHeads, count, pairs, 2]), [0, 1, 2, 4, 3])
    : ops.reshape(paired, [batch, kvHeads, count, 2, pairs]);
  const half = (which: number) => ops.reshape(ops.part(halves, 3, which, 1), [batch, kvHeads, count, pairs]);
  const [a, b] = [half(0), half(1)];
  const turned = [ops.sub(ops.mul(a, cos), ops.mul(b, sin)), ops.add(ops.mul(b, cos), ops.mul(a, sin))];
  const joined = interleaved
    ? ops.reshape(ops.stack(turned), [batch, kvHeads, count, 2 * pairs])
    : ops.concat(turned, 3);
  return 2 * pairs === dim ? joined : ops.concat([joined, ops.part(keys, 3, 2 * pairs, dim - 2 * pairs)], 3);
}

/** Which of the tokens `from .. from + count` queries see: bool, broadcasting over `[batch, kvHeads, rows, count]`; undefined if all. */
function seenOf(ops: TensorflowOps, keys: ScoredKeys, from: number, count: number): Handle | undefined {
  const {firstQuery, window} = keys.attributes;
  const rows = keys.queries.shape[2]!;
  const {queryTokens} = keys;
  const ofRows = (of: (query: number) => number) =>
    ops.floats(
      Array.from({length: rows}, (_, row) => of(row % queryTokens)),
      [rows, 1],
    );
  const run = (first: number) =>
    ops.floats(
      Array.from({length: count}, (_, i) => first + i),
      [1, count],
    );
  const seen: Handle[] = [];
  if (firstQuery !== undefined && firstQuery < from + count - 1) {
    seen.push(
      ops.lessEqual(
        run(from),
        ofRows(query => firstQuery + query),
      ),
    );
  }
  if (window !== undefined) {
    const {positions, size, firstQuery: first} = window;
    const oldest = first - size + 1;
    if (typeof positions !== 'number') {
      const [batch, kvHeads] = positions.shape;
      const own = ops.reshape(ops.part(ops.of(positions), 2, from, count), [batch, kvHeads, 1, count]);
      seen.push(
        ops.lessEqual(
          ofRows(query => oldest + query),
          own,
        ),
      );
    } else if (positions + from < oldest + queryTokens - 1) {
      seen.push(
        ops.lessEqual(
          ofRows(query => oldest + query),
          run(positions + from),
        ),
      );
    }
  }
  return seen.length === 2 ? ops.run('LogicalAnd', seen) : seen[0];
}

/** Queries `[batch, heads, queryTokens, dim]` of a group as rows of one matrix per key head. */
export function groupedQueries(ops: TensorflowOps, queries: InfoOf<tf.Tensor4D>, kvHeads: number): Handle {
  const [batch, heads, queryTokens, dim] = queries.shape;
  return ops.reshape(ops.of(queries), [batch, kvHeads, (heads / kvHeads) * queryTokens, dim]);
}
