import * as tf from '@tensorflow/tfjs';

/** Biases of scores by head and distance, and where queries and the tokens of a segment are. */
export interface RelativeBias {
  /** float32 `[heads, distances]`: see `ScoringOptions.relativeBias`. */
  readonly table: tf.Tensor2D;
  /** The position of query 0. */
  readonly firstQuery: number;
  /** Positions of the segment's tokens: the first of a run without gaps, or float32 `[batch, heads, rows, 1]`. */
  readonly positions: number | tf.Tensor4D;
}

/**
 * Returns what is added to the scores of query i and the first `tokens` tokens j of a segment, `table[h, min(p_i - p_j, distances - 1)]` of their
 * positions p: float32 `[1 or batch, heads, tokens, 1]`. Of tokens behind a query, which it does not see, that of distance 0. Inside the
 * caller's tidy.
 */
export function biasesOfQueries(
  {table, firstQuery, positions}: RelativeBias,
  queryTokens: number,
  tokens: number,
): (query: number) => tf.Tensor4D {
  const [heads] = table.shape;
  if (typeof positions === 'number') {
    const ramp = rampOf(table, firstQuery + queryTokens - 1 - positions, queryTokens + tokens - 1);
    return query =>
      tf.reshape(tf.slice(ramp, [0, queryTokens - 1 - query], [heads, tokens]), [1, heads, tokens, 1]);
  }
  return query =>
    tf.reshape(biasesOfPositions({table, firstQuery: firstQuery + query, positions}, 1, 0, tokens), [
      -1,
      heads,
      tokens,
      1,
    ]);
}

/** The same of all queries and the tokens `from .. from + count`: float32 `[1 or batch, heads, queryTokens, count]`. Inside the caller's tidy. */
export function relativeBiases(
  {table, firstQuery, positions}: RelativeBias,
  queryTokens: number,
  from: number,
  count: number,
): tf.Tensor4D {
  if (typeof positions !== 'number')
    return biasesOfPositions({table, firstQuery, positions}, queryTokens, from, count);
  const [heads] = table.shape;
  const length = queryTokens + count - 1;
  const ramp = rampOf(table, firstQuery + queryTokens - 1 - (positions + from), length);
  // row i is the ramp from its number queryTokens - 1 - i on: in rows that are shorter by one than the ramp they begin where they should
  const ramps = tf.mul(tf.reshape(ramp, [heads, 1, length]), tf.ones([1, queryTokens + 1, 1]));
  const flat = tf.slice(
    tf.reshape(ramps, [heads, -1]),
    [0, queryTokens - 1],
    [heads, queryTokens * Math.max(1, length - 1)],
  );
  const rows = tf.reshape(flat, [1, heads, queryTokens, -1]);
  return tf.slice(rows, [0, 0, 0, 0], [-1, -1, -1, count]) as tf.Tensor4D;
}

/** The biases of `length` distances that fall by one, beginning with this one: `[heads, length]`. */
function rampOf(table: tf.Tensor2D, distance: number, length: number): tf.Tensor2D {
  const [heads, distances] = table.shape;
  const last = distances - 1;
  // most tokens are far away, and tfjs gathers number by number
  const far = Math.min(Math.max(distance - last, 0), length);
  const parts: tf.Tensor2D[] = [];
  if (far > 0) parts.push(tf.mul(tf.slice(table, [0, last], [heads, 1]), tf.ones([1, far])));
  if (far < length) {
    const columns = Int32Array.from({length: length - far}, (_, index) =>
      Math.min(Math.max(distance - far - index, 0), last),
    );
    parts.push(tf.gather(table, tf.tensor1d(columns, 'int32'), 1));
  }
  return parts.length === 1 ? parts[0]! : tf.concat(parts, 1);
}

function biasesOfPositions(
  {table, firstQuery, positions}: RelativeBias & {readonly positions: tf.Tensor4D},
  queryTokens: number,
  from: number,
  count: number,
): tf.Tensor4D {
  const [heads, distances] = table.shape;
  const [batch] = positions.shape;
  // of two axes: tfjs copies number by number if the last axis has one
  const own = tf.slice(tf.reshape(positions, [batch * heads, -1]), [0, from], [-1, count]);
  const ofTokens = tf.reshape(own, [batch, heads, 1, count]);
  const ofQueries = tf.reshape(tf.range(firstQuery, firstQuery + queryTokens), [queryTokens, 1]);
  const columns = tf.clipByValue(tf.sub(ofQueries, ofTokens), 0, distances - 1);
  const rows = tf.reshape(tf.range(0, heads * distances, distances), [heads, 1, 1]);
  const flat = tf.cast(tf.reshape(tf.add(columns, rows), [-1]), 'int32');
  return tf.reshape(tf.gather(tf.reshape(table, [-1]), flat), [batch, heads, queryTokens, count]);
}

/**
 * Sums what belongs to pairs of a query and a token of the same text over all pairs of a distance, the last over all greater ones, too: the
 * gradient of `relativeBiases`. Inside the caller's tidy.
 *
 * @param x float32 `[heads, tokens, tokens]`, 0 where the token comes after the query.
 * @returns float32 `[heads, distances]`.
 */
export function sumsByDistance(x: tf.Tensor3D, distances: number): tf.Tensor2D {
  const [heads, tokens] = x.shape;
  // of reversed rows of 2 tokens numbers, element (i, c) is number 2 tokens i + c = (2 tokens - 1) i + (i + c): in rows that are shorter
  // by one, it is in column i + c, which is the same for all pairs of a distance
  const wide = tf.pad(tf.reverse(x, 2), [
    [0, 0],
    [0, 0],
    [0, tokens],
  ]);
  const flat = tf.slice(tf.reshape(wide, [heads, -1]), [0, 0], [heads, tokens * (2 * tokens - 1)]);
  const sums = tf.sum(tf.reshape(flat, [heads, tokens, 2 * tokens - 1]), 1);
  const ofDistances = tf.slice(sums, [0, tokens - 1], [heads, tokens]) as tf.Tensor2D;
  if (tokens <= distances) {
    return tf.pad(ofDistances, [
      [0, 0],
      [0, distances - tokens],
    ]);
  }
  const own = tf.slice(ofDistances, [0, 0], [heads, distances - 1]);
  const farther = tf.slice(ofDistances, [0, distances - 1], [heads, tokens - distances + 1]);
  const last = tf.sum<tf.Tensor2D>(farther, 1, true);
  return distances === 1 ? last : tf.concat([own, last], 1);
}
