import * as tf from '@tensorflow/tfjs';

/** Sliding-window attention: a query at position p sees the positions p - size + 1 to p. */
export interface LocalWindow {
  /** Tokens that a query sees, its own included. */
  readonly size: number;
  /** The position of query 0. */
  readonly firstQuery: number;
  /** Positions of the segment's tokens: the first of a run without gaps, or float32 `[batch, kvHeads, rows, 1]`. */
  readonly positions: number | tf.Tensor4D;
}

/** Which tokens of a segment queries see. Default: all of them. */
export interface Visibility {
  /** Causal attention: the index, within the segment, of query 0's own token. */
  readonly firstQuery?: number;
  readonly window?: LocalWindow;
}

/**
 * Which of the tokens `from .. from + count` the queries see: bool, broadcasting over `[batch, kvHeads, rows, count]`, where row
 * r is query `r % queryTokens`. Undefined if all are seen.
 */
export function visibleTokens(
  {firstQuery, window}: Visibility,
  rows: number,
  queryTokens: number,
  from: number,
  count: number,
): tf.Tensor | undefined {
  if (firstQuery === undefined && window === undefined) return undefined;
  const queries = tf.reshape(tf.tile(tf.range(0, queryTokens), [rows / queryTokens]), [1, 1, rows, 1]);
  const seen: tf.Tensor[] = [];
  if (firstQuery !== undefined) {
    const columns = tf.reshape(tf.range(from, from + count), [1, 1, 1, count]);
    seen.push(tf.lessEqual(columns, tf.add(queries, firstQuery)));
  }
  if (window !== undefined) {
    const oldest = tf.add(queries, window.firstQuery - window.size + 1);
    seen.push(tf.greaterEqual(positionsOf(window, from, count), oldest));
  }
  const [first, second] = seen;
  return first !== undefined && second !== undefined ? tf.logicalAnd(first, second) : first;
}

function positionsOf({positions}: LocalWindow, from: number, count: number): tf.Tensor {
  if (typeof positions === 'number') {
    return tf.reshape(tf.range(positions + from, positions + from + count), [1, 1, 1, count]);
  }
  const [batch, kvHeads] = positions.shape;
  return tf.reshape(tf.slice(positions, [0, 0, from, 0], [-1, -1, count, -1]), [batch, kvHeads, 1, count]);
}

/** The first token of a segment that any query sees: tokens of a run before it need not be read. */
export function firstVisible(visibility: Visibility, tokens: number): number {
  return Math.min(tokens, Math.max(0, oldestVisible(visibility) ?? 0));
}

/**
 * The index of the oldest token that query 0 sees within a window over a run; it may lie before or behind the run. Query q sees those from q
 * tokens later on. Undefined without a window, or if tokens have positions of their own.
 */
export function oldestVisible({window}: Visibility): number | undefined {
  if (window === undefined || typeof window.positions !== 'number') return undefined;
  return Math.max(noOldest, window.firstQuery - window.size + 1 - window.positions);
}

/** As `oldestVisible` for kernels: every query sees all tokens from the first one on. */
export const noOldest = -(2 ** 30);
