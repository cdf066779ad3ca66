import * as tf from '@tensorflow/tfjs';
import {append} from '../../ops/append/index.js';
import type {Keeper} from '../contract.js';
import type {QueryWindow} from './past.js';
import {moveTokens} from './segments.js';

// The newest queries of a depth, for keepers that look at attention only when tokens have to go.

/**
 * How many queries say how much attention evicted tokens had. More change little: with 64, outputs of attention of SmolLM2 were 3 % nearer on one
 * validation text and no nearer on another.
 */
export const refitQueries = 16;

/** The outputs of how many queries say what the values of the tokens that stay should be, if so many see all of them. */
export const leastSquaresQueries = 64;

/** Whether tokens that stay take over evicted ones. */
export const refits = ({refit = false}: Keeper): boolean => refit !== false;

/** Whether refitting takes the newest queries: at least `refitQueries` of them. */
export const refitsByQueries = (keep: Keeper): boolean =>
  keep.refit === 'leastSquares' || (refits(keep) && keep.observes?.statistic !== 'mass');

/** How many of the newest queries a keeper needs, for its scores or to refit; undefined if none. */
export function queriesKept(keep: Keeper): number | undefined {
  if (!refitsByQueries(keep)) return keep.queries;
  return Math.max(keep.queries ?? 0, keep.refit === 'leastSquares' ? leastSquaresQueries : refitQueries);
}

/**
 * Appends the queries of a step. At least the newest `most` stay, and a few more until the buffer is full, so that a query is copied few
 * times. Pure; the old window stays readable. Inside the caller's tidy.
 */
export function appendQueries(
  window: QueryWindow | undefined,
  queries: tf.Tensor4D,
  most: number,
): QueryWindow {
  const fresh = queries.shape[2];
  if (fresh >= most) return firstBuffer(newestRows(queries, fresh, most), most);
  const held = window?.tokens ?? 0;
  if (window !== undefined && held + fresh <= window.data.shape[2]) {
    return {data: append(window.data, queries, held, window.data.shape[2]), tokens: held + fresh};
  }
  const stay = Math.min(held, most - fresh);
  const before = stay === 0 ? [] : [newestRows(window!.data, held, stay)];
  return firstBuffer(before.length === 0 ? queries : tf.concat([...before, queries], 2), most);
}

/** Returns the newest `count` queries, float32 `[batch, heads, count, dim]`. */
export function newestQueries({data, tokens}: QueryWindow, count: number): tf.Tensor4D {
  return newestRows(data, tokens, count);
}

/** Returns a window without its newest `count` queries, in a new buffer; undefined if none is left. */
export function withoutNewestQueries({data, tokens}: QueryWindow, count: number): QueryWindow | undefined {
  const left = tokens - count;
  if (left <= 0) return undefined;
  return {data: append(undefined, newestRows(data, left, left), 0, left), tokens: left};
}

/** A new buffer of these rows; with spare rows if there are as many as have to stay. */
function firstBuffer(rows: tf.Tensor4D, most: number): QueryWindow {
  const tokens = rows.shape[2];
  const spare = Math.min(moveTokens, most - 1);
  return {data: append(undefined, rows, 0, tokens + spare), tokens};
}

function newestRows(rows: tf.Tensor4D, filled: number, count: number): tf.Tensor4D {
  if (filled === count && rows.shape[2] === count) return rows;
  return tf.slice(rows, [0, 0, filled - count, 0], [-1, -1, count, -1]);
}
