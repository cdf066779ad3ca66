import * as tf from '@tensorflow/tfjs';

/** Which tokens attention may see, each false where it may not. */
export interface Visibility {
  /** Each query sees keys up to its own place only. Default false. */
  readonly isCausal?: boolean;
  /** Each query sees keys less than so many tokens away, before it and behind it. Default: all. */
  readonly window?: number | undefined;
  /** `[batch, tokens]`, of queries. */
  readonly queries?: tf.Tensor | undefined;
  /** `[batch, keys]`, of keys; each must allow a key. */
  readonly keys?: readonly tf.Tensor[];
  /** `[tokens, keys]`, `[batch, tokens, keys]` or `[batch, heads, tokens, keys]`. */
  readonly pairs?: tf.Tensor | undefined;
}

/**
 * Attention with any mask, of ops of tfjs, differentiable:
 *
 *     softmax(scale q k^T over visible keys) v
 *
 * A query that may see nothing sees all keys alike, as in Keras. Takes memory for all scores, `batch * heads * tokens * keys`.
 *
 * @param queries float32 `[batch, heads, tokens, dim]`.
 * @param keys float32 `[batch, kvHeads, keys, dim]`; kvHeads divides heads.
 * @param values float32 `[batch, kvHeads, keys, dimV]`.
 * @param dropout share of the probabilities that are dropped. Default 0.
 * @returns float32 `[batch, heads, tokens, dimV]`.
 */
export function maskedAttention(
  queries: tf.Tensor4D,
  keys: tf.Tensor4D,
  values: tf.Tensor4D,
  {
    visibility,
    scale,
    dropout = 0,
    seed,
  }: {visibility: Visibility; scale: number; dropout?: number; seed?: number},
): tf.Tensor4D {
  const [batch, heads, tokens, dim] = queries.shape;
  const [, kvHeads, keyCount] = keys.shape;
  const grouped = tf.reshape(queries, [batch, kvHeads, (heads / kvHeads) * tokens, dim]);
  const products = tf.mul(tf.matMul(grouped, keys, false, true), scale);
  const scores = tf.reshape(products, [batch, heads, tokens, keyCount]);
  const visible = visibleOf(visibility, tokens, keyCount);
  // equal scores, not infinite ones: a row of nothing visible must not become NaN
  const masked =
    visible === undefined ? scores : tf.add(tf.mul(scores, visible), tf.mul(tf.sub(visible, 1), 1e9));
  const probabilities = tf.softmax(masked);
  const kept = dropout > 0 ? tf.dropout(probabilities, dropout, undefined, seed) : probabilities;
  const ofGroups = tf.reshape(kept, [batch, kvHeads, (heads / kvHeads) * tokens, keyCount]);
  return tf.reshape(tf.matMul(ofGroups, values), [batch, heads, tokens, values.shape[3]]);
}

/** 1 and 0 in float32, to be broadcast over `[batch, heads, tokens, keys]`; undefined if everything is visible. */
function visibleOf(
  {isCausal = false, window, queries, keys = [], pairs}: Visibility,
  tokens: number,
  keyCount: number,
): tf.Tensor | undefined {
  const factors: tf.Tensor[] = [];
  if (isCausal || window !== undefined) {
    const distance = tf.sub(
      tf.range(0, tokens).reshape([tokens, 1]),
      tf.range(0, keyCount).reshape([1, keyCount]),
    );
    if (isCausal) factors.push(tf.greaterEqual(distance, 0));
    if (window !== undefined) factors.push(tf.less(tf.abs(distance), window));
  }
  if (queries !== undefined) factors.push(tf.reshape(queries, [-1, 1, tokens, 1]));
  for (const mask of keys) factors.push(tf.reshape(mask, [-1, 1, 1, keyCount]));
  if (pairs !== undefined) factors.push(pairs.rank === 3 ? tf.expandDims(pairs, 1) : pairs);
  if (factors.length === 0) return undefined;
  return factors
    .map(factor => tf.cast(factor, 'float32'))
    .reduce((product, factor) => tf.mul(product, factor));
}
