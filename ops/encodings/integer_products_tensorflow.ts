import type {Handle, TensorflowOps} from '../backends/tensorflow_ops.js';
import {groupsOfRow, planesOf, wordsOfPlane, type IntegerLayout} from './integer_layout.js';
import {groupNumbers} from './integer_tensorflow.js';

// Products with integer codes by TensorFlow's ops, without decoding them: the scale and the zero point of a group belong to what it is
// multiplied by, which is a few rows,
//
//     sum_c q_c (code_c + zero_c) scale_c = sum_c (q_c scale_c) code_c + sum_c (q_c scale_c) zero_c
//
// and codes become floats as they lie in their bytes. A byte of several codes is masked for each of its places, and what multiplies a place
// is divided by the power of two that it lies at.

/** Tokens `from .. from + count` of codes. */
export interface IntegerTile {
  readonly data: Handle;
  readonly params: Handle;
  readonly layout: IntegerLayout;
  readonly from: number;
  readonly count: number;
}

/** Whether products of `rows` rows are made so: groups are whole, and folding takes less than decoding the tile once would. */
export function foldsInto(
  {layout, from, count}: Omit<IntegerTile, 'data' | 'params'>,
  rows: number,
): boolean {
  const {groupAxis, groupSize} = layout;
  if (groupAxis === 'token') return rows * groupsOfRow(layout) <= mostRows;
  return from % groupSize === 0 && count % groupSize === 0 && 2 * rows <= groupSize && rows <= mostRows;
}

const mostRows = 32;

/** `q . k` of float32 `[batch, kvHeads, rows, dim]` and the tile's keys: `[batch, kvHeads, rows, count]`. */
export function integerKeyProducts(ops: TensorflowOps, queries: Handle, tile: IntegerTile): Handle {
  const {layout, from, count} = tile;
  const {dim, groupAxis, groupSize} = layout;
  const [batch, kvHeads, rows] = queries.shape as [number, number, number];
  const columns = ops.part(tile.data, 2, from, count);
  if (groupAxis === 'channel') {
    const groups = count / groupSize;
    const {scale, zero} = groupNumbers(ops, ops.part(tile.params, 2, from / groupSize, groups));
    const ofGroups = (x: Handle) => ops.reshape(x, [batch, kvHeads, groups, 1, dim]);
    const scaled = ops.mul(ops.reshape(queries, [batch, kvHeads, 1, rows, dim]), ofGroups(scale));
    const words = ops.reshape(columns, [batch, kvHeads, groups, groupSize, columns.shape[3]!]);
    const products = ops.add(
      timesCodes(ops, scaled, words, layout),
      ops.matMul(scaled, ofGroups(zero), {transposeB: true}),
    );
    const inOrder = rows === 1 ? products : ops.transpose(products, [0, 1, 3, 2, 4]);
    return ops.reshape(inOrder, [batch, kvHeads, rows, count]);
  }
  const groups = groupsOfRow(layout);
  const {scale, zero} = groupNumbers(ops, ops.part(tile.params, 2, from, count));
  // a row for each group of channels, with zeros in the channels of the others
  const apart =
    groups === 1
      ? queries
      : ops.mul(ops.reshape(queries, [batch, kvHeads, 1, rows, dim]), masks(ops, layout));
  const products = timesCodes(ops, ops.reshape(apart, [batch, kvHeads, groups * rows, dim]), columns, layout);
  const byGroup = ops.reshape(products, [batch, kvHeads, groups, rows, count]);
  const sums = ops.sum(ops.reshape(apart, [batch, kvHeads, groups, rows, dim]), 4, true);
  const ofTokens = (x: Handle) => ops.reshape(byColumns(ops, x), [batch, kvHeads, groups, 1, count]);
  const scaled = ops.mul(ops.add(byGroup, ops.mul(sums, ofTokens(zero))), ofTokens(scale));
  return groups === 1 ? ops.reshape(scaled, [batch, kvHeads, rows, count]) : ops.sum(scaled, 2);
}

/** `sum_t w_t v_t` of float32 `[batch, kvHeads, rows, count]` and the tile's values: `[batch, kvHeads, rows, dim]`. */
export function integerValueSums(ops: TensorflowOps, weights: Handle, tile: IntegerTile): Handle {
  const {layout, from, count} = tile;
  const {dim, groupAxis, groupSize} = layout;
  const [batch, kvHeads, rows] = weights.shape as [number, number, number];
  const columns = ops.part(tile.data, 2, from, count);
  if (groupAxis === 'channel') {
    const groups = count / groupSize;
    const {scale, zero} = groupNumbers(ops, ops.part(tile.params, 2, from / groupSize, groups));
    const split = ops.reshape(weights, [batch, kvHeads, rows, groups, groupSize]);
    const byGroup = rows === 1 ? split : ops.transpose(split, [0, 1, 3, 2, 4]);
    const own = ops.reshape(byGroup, [batch, kvHeads, groups, rows, groupSize]);
    const words = ops.reshape(columns, [batch, kvHeads, groups, groupSize, columns.shape[3]!]);
    const ofGroups = (x: Handle) => ops.reshape(x, [batch, kvHeads, groups, 1, dim]);
    const sums = ops.mul(ops.sum(own, 4, true), ofGroups(zero));
    return ops.sum(ops.mul(ops.add(codesTimes(ops, own, words, layout), sums), ofGroups(scale)), 2);
  }
  const groups = groupsOfRow(layout);
  const {scale, zero} = groupNumbers(ops, ops.part(tile.params, 2, from, count));
  const ofTokens = (x: Handle) => ops.reshape(byColumns(ops, x), [batch, kvHeads, groups, 1, count]);
  const scaled = ops.mul(ops.reshape(weights, [batch, kvHeads, 1, rows, count]), ofTokens(scale));
  const flat = ops.reshape(scaled, [batch, kvHeads, groups * rows, count]);
  const products = ops.reshape(codesTimes(ops, flat, columns, layout), [batch, kvHeads, groups, rows, dim]);
  const zeros = ops.matMul(scaled, ofTokens(zero), {transposeB: true});
  const whole = ops.add(products, zeros);
  return groups === 1
    ? ops.reshape(whole, [batch, kvHeads, rows, dim])
    : ops.sum(ops.mul(whole, masks(ops, layout)), 2);
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

/** `[batch, kvHeads, tokens, groups]` with the groups first. */
function byColumns(ops: TensorflowOps, x: Handle): Handle {
  return x.shape[3] === 1 ? x : ops.transpose(x, [0, 1, 3, 2]);
}

/** The places of a plane in its bytes, as floats, and what each has to be multiplied by. */
function* placesOf(
  ops: TensorflowOps,
  words: Handle,
  {dim, bits}: IntegerLayout,
): Generator<{codes: Handle; place: number; perByte: number; factor: number}> {
  const axis = words.shape.length - 1;
  let first = 0;
  for (const plane of planesOf(bits)) {
    const count = wordsOfPlane(dim, plane.bits);
    const bytes = ops.bytesOfRows(ops.part(words, axis, first, count));
    const perByte = 8 / plane.bits;
    for (let place = 0; place < perByte; place++) {
      const bit = place * plane.bits;
      const masked = perByte === 1 ? bytes : ops.and(bytes, (2 ** plane.bits - 1) << bit);
      yield {codes: ops.cast(masked, 'float32'), place, perByte, factor: 2 ** (plane.shift - bit)};
    }
    first += count;
  }
}

/** Channels at one place of each byte, times a factor: `[..., channels]` as `[..., bytes]`. Channels beyond the last one are zeros. */
function channelsAt(
  ops: TensorflowOps,
  x: Handle,
  bytes: number,
  {place, perByte, factor}: {place: number; perByte: number; factor: number},
): Handle {
  const padded = ops.padRows(x, bytes * perByte);
  if (perByte === 1) return padded;
  const split = ops.reshape(padded, [...padded.shape.slice(0, -1), bytes, perByte]);
  const own = ops.reshape(ops.part(split, -1, place, 1), [...padded.shape.slice(0, -1), bytes]);
  return factor === 1 ? own : ops.mul(own, factor);
}

/** Rows `[..., rows, dim]` times codes of words `[..., tokens, words]`: `[..., rows, tokens]`. */
function timesCodes(ops: TensorflowOps, rows: Handle, words: Handle, layout: IntegerLayout): Handle {
  let sum: Handle | undefined;
  for (const {codes, ...at} of placesOf(ops, words, layout)) {
    const own = channelsAt(ops, rows, codes.shape.at(-1)!, at);
    const product = ops.matMul(own, codes, {transposeB: true});
    sum = sum === undefined ? product : ops.add(sum, product);
  }
  return sum!;
}

/** Weights `[..., rows, tokens]` times codes of words `[..., tokens, words]`: `[..., rows, dim]`. */
function codesTimes(ops: TensorflowOps, weights: Handle, words: Handle, layout: IntegerLayout): Handle {
  const planes: Handle[] = [];
  let places: Handle[] = [];
  for (const {codes, perByte, factor} of placesOf(ops, words, layout)) {
    const product = ops.matMul(weights, codes);
    places.push(factor === 1 ? product : ops.mul(product, factor));
    if (places.length < perByte) continue;
    const channels = perByte * product.shape.at(-1)!;
    const whole =
      perByte === 1 ? product : ops.reshape(ops.stack(places), [...product.shape.slice(0, -1), channels]);
    planes.push(ops.part(whole, -1, 0, layout.dim));
    places = [];
  }
  return planes.reduce((a, b) => ops.add(a, b));
}
