import * as tf from '@tensorflow/tfjs';
import {gatherRows} from '../../ops/gather_tokens/index.js';
import {decodeTokens, hostPositions} from './decode.js';
import {type DenseBlock, type DenseSegment, type Past, segmentsOf, tokensHeld} from './past.js';
import type {RopeTables} from './rope_tables.js';
import {dense, firstTokens, lastTokens, positionsOf, withoutOldest} from './segments.js';

/**
 * Decodes a past to exact tokens, so that another policy can store them. If no token was evicted, or only the oldest ones, all of them are in
 * `recent`, in text order. Otherwise `recent` holds the newest run without gaps and `held.rest` all older tokens, each head's in text order; the first
 * `sinks` tokens of the text, if all heads hold them, are in `held.sinks`.
 *
 * The caller owns the tensors of the result. Used when a plan changes, not in a step: one depth is dense meanwhile.
 */
export async function decodePast(past: Past, rope: RopeTables | undefined, sinks: number): Promise<Past> {
  const {events, tokensSeen} = past;
  const segments = segmentsOf(past);
  const older = segments.filter(segment => segment !== past.recent);
  const positions = await Promise.all(segments.map(hostPositions));
  const heads = Math.max(...positions.map(rows => rows.length));
  const start = tokensSeen - tokensHeld(past);
  const isWhole = segments.length > 0 && isRun(positions, start); // with a window of one token nothing is held
  const orders = isWhole ? ordersOf(positions, heads) : ordersOf(positions.slice(0, older.length), heads);
  const decoded = tf.tidy((): Decoded => {
    const tokens = (of: typeof segments) =>
      inOrder(
        joined(of.map(segment => ({...decodeTokens(segment, {rope, tokensSeen}), bias: segment.bias}))),
        orders,
      );
    const result = (recent: DenseSegment, held: {sinks?: DenseBlock; rest?: DenseBlock} = {}): Decoded =>
      ({recent, ...held}) as Decoded;
    if (isWhole) return result({...tokens(segments), positions: start});
    const recent = withoutOldest({...past.recent, scores: undefined}, 0); // scores belong to the former policy
    if (older.length === 0) return result(recent);
    const rest = tokens(older);
    const first = Math.min(sinks, textStart(positions.slice(0, older.length), orders));
    if (first === 0) return result(recent, {rest});
    const kept = {sinks: {...firstTokens(rest, first), positions: 0}};
    const left = rest.tokens - first;
    return result(recent, left === 0 ? kept : {...kept, rest: lastTokens(rest, left)});
  });
  const {recent, sinks: exact, rest} = decoded;
  const held = Object.entries({sinks: exact, rest}).filter(([, segment]) => segment !== undefined);
  return {held: Object.fromEntries(held) as Past['held'], recent, tokensSeen, events};
}

type Decoded = {recent: DenseSegment; sinks?: DenseBlock; rest?: DenseBlock} & tf.TensorContainerObject;

/** Whether every head holds all tokens from a position on: if it begins with the text, or behind what no query sees any more. */
function isRun(positions: readonly ArrayLike<number>[][], first: number): boolean {
  return first === 0 || positions.every(rows => rows.every(row => Array.from(row).every(at => at >= first)));
}

/** For each head, the indices of its tokens in the concatenated segments, sorted by position. */
function ordersOf(positions: readonly ArrayLike<number>[][], heads: number): number[][] {
  return Array.from({length: heads}, (_, head) => {
    const row = positions.flatMap(rows => Array.from(rows[head] ?? rows[0]!));
    return row.map((_position, index) => index).sort((a, b) => row[a]! - row[b]!);
  });
}

/** How many of the text's first tokens every head holds without a gap. */
function textStart(positions: readonly ArrayLike<number>[][], orders: readonly number[][]): number {
  const starts = orders.map((order, head) => {
    const row = positions.flatMap(rows => Array.from(rows[head] ?? rows[0]!));
    const gap = order.findIndex((index, at) => row[index] !== at);
    return gap === -1 ? order.length : gap;
  });
  return Math.min(...starts);
}

type Tokens = DenseBlock & {readonly positions: tf.Tensor4D};

function joined(parts: readonly DenseBlock[]): Tokens {
  const all = (tensors: readonly tf.Tensor4D[]): tf.Tensor4D =>
    tensors.length === 1 ? tensors[0]! : tf.concat([...tensors], 2);
  return {
    keys: dense(all(parts.map(({keys}) => keys.data))),
    values: dense(all(parts.map(({values}) => values.data))),
    tokens: parts.reduce((sum, {tokens}) => sum + tokens, 0),
    positions: all(parts.map(positionsOf)),
    ...(parts.some(({bias}) => bias !== undefined) && {
      bias: all(parts.map(part => part.bias ?? tf.zerosLike<tf.Tensor4D>(positionsOf(part)))),
    }),
  };
}

function inOrder({keys, values, tokens, positions, bias}: Tokens, orders: readonly number[][]): Tokens {
  const [batch, kvHeads] = keys.data.shape;
  const indices = Int32Array.from(
    {length: batch * kvHeads * tokens},
    (_, i) => (orders[Math.floor(i / tokens)] ?? orders[0]!)[i % tokens]!,
  );
  return {
    keys: dense(gatherRows(keys.data, indices)),
    values: dense(gatherRows(values.data, indices)),
    tokens,
    positions: gatherRows(positions, indices),
    ...(bias && {bias: gatherRows(bias, indices)}),
  };
}
