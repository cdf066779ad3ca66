import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';
import {groupsOfRow, type IntegerLayout} from './integer_layout.js';
import {codesOf, factorsOf, inOrder, type IntegerSide, sumOf, viewed} from './integer_places_tensorflow.js';
import {groupNumbers} from './integer_tensorflow.js';
import {runOf, type Tile} from './tiles_tensorflow.js';

// Products with integer codes by TensorFlow's ops, without decoding them: the scale and the zero point of a group belong to what it is
// multiplied by, which is a few rows,
//
//     sum_c q_c (code_c + zero_c) scale_c = sum_c (q_c scale_c) code_c + sum_c (q_c scale_c) zero_c
//
// and codes become floats as they lie in their bytes.

/** Whether products of `rows` rows are made so: if that takes less than decoding each tile does. */
export function foldsInto({groupAxis, groupSize, ...layout}: IntegerLayout, rows: number): boolean {
  if (groupAxis === 'channel') return 8 * rows <= groupSize;
  return rows * groupsOfRow({groupAxis, groupSize, ...layout}) <= 32;
}

/** `q . k` of float32 `[batch, kvHeads, rows, dim]` and keys of tiles that follow each other: `[batch, kvHeads, rows, their tokens]`. */
export function integerKeyProducts(
  ops: TensorflowOps,
  queries: Handle,
  side: IntegerSide,
): (tiles: readonly Tile[]) => Handle {
  const words = viewed(ops, side);
  return side.layout.groupAxis === 'channel'
    ? keysByChannel(ops, queries, words)
    : keysByToken(ops, queries, words);
}

/** `sum_t w_t v_t` of float32 `[batch, kvHeads, rows, tokens of the tiles]` and values of these: `[batch, kvHeads, rows, dim]`. */
export function integerValueSums(
  ops: TensorflowOps,
  side: IntegerSide,
): (weights: Handle, tiles: readonly Tile[]) => Handle {
  const words = viewed(ops, side);
  return side.layout.groupAxis === 'channel' ? valuesByChannel(ops, words) : valuesByToken(ops, words);
}

function keysByChannel(
  ops: TensorflowOps,
  queries: Handle,
  side: IntegerSide,
): (tiles: readonly Tile[]) => Handle {
  const {layout} = side;
  const {dim, groupSize} = layout;
  const [batch, kvHeads, rows] = queries.shape as [number, number, number];
  const {scale, zero, groups} = numbersByChannel(ops, side);
  const scaled = ops.mul(ops.reshape(queries, [batch, kvHeads, 1, rows, dim]), scale);
  const offsets = ops.reshape(ops.mul(scale, zero), [batch, kvHeads, groups, dim]);
  const ofZeros = ops.matMul(queries, offsets, {transposeB: true});
  const factors = factorsOf(ops, scaled, layout);
  return tiles => {
    const products = tiles.map(tile => {
      const [from, own] = [tile.from / groupSize, tile.count / groupSize];
      const codes = codesOf(ops, side, tile, [batch, kvHeads, own, groupSize]);
      return sumOf(
        ops,
        codes.map((each, place) =>
          ops.matMul(ops.part(factors[place]!, 2, from, own), each, {transposeB: true}),
        ),
      );
    });
    const {from, count} = runOf(tiles);
    const [first, own] = [from / groupSize, count / groupSize];
    const byGroup = ops.concat(products, 2);
    const inOrder = ops.reshape(rows === 1 ? byGroup : ops.transpose(byGroup, [0, 1, 3, 2, 4]), [
      ...[batch, kvHeads, rows, own, groupSize],
    ]);
    const zeros = ops.reshape(ops.part(ofZeros, 3, first, own), [batch, kvHeads, rows, own, 1]);
    return ops.reshape(ops.add(inOrder, zeros), [batch, kvHeads, rows, count]);
  };
}

function keysByToken(
  ops: TensorflowOps,
  queries: Handle,
  side: IntegerSide,
): (tiles: readonly Tile[]) => Handle {
  const {layout} = side;
  const {dim} = layout;
  const [batch, kvHeads, rows] = queries.shape as [number, number, number];
  const {scale, zero, groups} = numbersByToken(ops, side);
  // codes of few bits are multiplied by parts of the queries down to 2^-7 of them, which must not be subnormal
  const [enlarged, factor] = layout.bits === 8 ? [queries, 1] : [ops.mul(queries, 2 ** 7), 2 ** -7];
  // a row for each group of channels, with zeros in the channels of the others
  const alone = ops.reshape(enlarged, [batch, kvHeads, 1, rows, dim]);
  const apart = groups === 1 ? alone : ops.mul(alone, masks(ops, layout));
  const sums = ops.sum(apart, 4, true);
  const factors = factorsOf(ops, ops.reshape(apart, [batch, kvHeads, groups * rows, dim]), layout);
  return tiles => {
    const {from, count} = runOf(tiles);
    const products = tiles.map(tile => {
      const codes = codesOf(ops, side, tile, [batch, kvHeads, tile.count]);
      return sumOf(
        ops,
        codes.map((each, place) => ops.matMul(factors[place]!, each, {transposeB: true})),
      );
    });
    const byGroup = ops.reshape(ops.concat(products, 3), [batch, kvHeads, groups, rows, count]);
    const withZeros = ops.add(byGroup, ops.mul(sums, ops.part(zero, 4, from, count)));
    const own = ops.mul(withZeros, ops.part(scale, 4, from, count));
    const scaled = factor === 1 ? own : ops.mul(own, factor);
    return groups === 1 ? ops.reshape(scaled, [batch, kvHeads, rows, count]) : ops.sum(scaled, 2);
  };
}

function valuesByToken(
  ops: TensorflowOps,
  side: IntegerSide,
): (weights: Handle, tiles: readonly Tile[]) => Handle {
  const {layout} = side;
  const {dim} = layout;
  const {scale, zero, groups} = numbersByToken(ops, side);
  const offsets = ops.mul(scale, zero);
  return (weights, tiles) => {
    const [batch, kvHeads, rows] = weights.shape as [number, number, number];
    const {from, count} = runOf(tiles);
    const alone = ops.reshape(weights, [batch, kvHeads, 1, rows, count]);
    const scaled = ops.mul(alone, ops.part(scale, 4, from, count));
    const ofZeros = ops.matMul(alone, ops.part(offsets, 4, from, count), {transposeB: true});
    const flat = ops.reshape(scaled, [batch, kvHeads, groups * rows, count]);
    const sums = sumsOfPlaces(
      ops,
      tiles.map(tile => {
        const own = ops.part(flat, 3, tile.from - from, tile.count);
        return codesOf(ops, side, tile, [batch, kvHeads, tile.count]).map(codes => ops.matMul(own, codes));
      }),
    );
    const byGroup = ops.reshape(inOrder(ops, sums, layout), [batch, kvHeads, groups, rows, dim]);
    const whole = ops.add(byGroup, ofZeros);
    if (groups === 1) return ops.reshape(whole, [batch, kvHeads, rows, dim]);
    return ops.sum(ops.mul(whole, masks(ops, layout)), 2);
  };
}

function valuesByChannel(
  ops: TensorflowOps,
  side: IntegerSide,
): (weights: Handle, tiles: readonly Tile[]) => Handle {
  const {layout} = side;
  const {dim, groupSize} = layout;
  const {scale, zero} = numbersByChannel(ops, side);
  return (weights, tiles) => {
    const [batch, kvHeads, rows] = weights.shape as [number, number, number];
    const first = runOf(tiles).from;
    return sumOf(
      ops,
      tiles.map(tile => {
        const [from, groups] = [tile.from / groupSize, tile.count / groupSize];
        const own = ops.part(weights, 3, tile.from - first, tile.count);
        const split = ops.reshape(own, [batch, kvHeads, rows, groups, groupSize]);
        const byGroup = ops.transpose(split, [0, 1, 3, 2, 4]);
        const codes = codesOf(ops, side, tile, [batch, kvHeads, groups, groupSize]);
        const sums = codes.map(each => ops.matMul(byGroup, each));
        const ofZeros = ops.mul(ops.sum(byGroup, 4, true), ops.part(zero, 2, from, groups));
        const whole = ops.add(
          ops.reshape(inOrder(ops, sums, layout), [batch, kvHeads, groups, rows, dim]),
          ofZeros,
        );
        return ops.sum(ops.mul(whole, ops.part(scale, 2, from, groups)), 2);
      }),
    );
  };
}

/** Scales and zero points of all groups, `[batch, kvHeads, groups, 1, dim]`. */
function numbersByChannel(ops: TensorflowOps, {params}: IntegerSide) {
  const [batch, kvHeads, groups, dim] = params!.shape as [number, number, number, number];
  const {scale, zero} = groupNumbers(ops, params!);
  const spread = (x: Handle) => ops.reshape(x, [batch, kvHeads, groups, 1, dim]);
  return {scale: spread(scale), zero: spread(zero), groups};
}

/** Scales and zero points of all tokens, `[batch, kvHeads, groups, 1, tokens]`. */
function numbersByToken(ops: TensorflowOps, {params}: IntegerSide) {
  const [batch, kvHeads, tokens, groups] = params!.shape as [number, number, number, number];
  const {scale, zero} = groupNumbers(ops, params!);
  const spread = (x: Handle) => {
    const first = groups === 1 ? x : ops.transpose(x, [0, 1, 3, 2]);
    return ops.reshape(first, [batch, kvHeads, groups, 1, tokens]);
  };
  return {scale: spread(scale), zero: spread(zero), groups};
}

/** 1 in the channels of each group: `[groups, 1, dim]`. */
function masks(ops: TensorflowOps, layout: IntegerLayout): Handle {
  const {dim, groupSize} = layout;
  const groups = groupsOfRow(layout);
  const ones = Array.from({length: groups * dim}, (_, i) =>
    Math.floor((i % dim) / groupSize) === Math.floor(i / dim) ? 1 : 0,
  );
  return ops.floats(ones, [groups, 1, dim]);
}

/** The sum over tiles, place by place. */
function sumsOfPlaces(ops: TensorflowOps, tiles: readonly (readonly Handle[])[]): Handle[] {
  return tiles[0]!.map((_, place) =>
    sumOf(
      ops,
      tiles.map(places => places[place]!),
    ),
  );
}
