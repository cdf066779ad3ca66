import * as tf from '@tensorflow/tfjs';

/**
 * The gradient of causal attention by recomputation (FlashAttention, section 3.1):
 *
 *     P = softmax(scale * Q K^T)    D = rowsum(dO * O)    dS = P * (dO V^T - D)
 *     dQ = scale * dS K             dK = scale * dS^T Q   dV = P^T dO
 *
 * In plain tfjs ops, with the T x T matrix of one call; the query heads of a key head are rows of one matrix, which sums
 * their share of dK and dV.
 */
export function causalAttentionGradient(
  dy: tf.Tensor4D,
  [queries, keys, values, output]: tf.Tensor4D[],
  scale: number,
): [tf.Tensor, tf.Tensor, tf.Tensor] {
  const [batch, heads, tokens, dim] = queries!.shape;
  const [, kvHeads, , dimV] = values!.shape;
  const rows = (heads / kvHeads) * tokens;
  const grouped = (x: tf.Tensor4D): tf.Tensor4D => tf.reshape(x, [batch, kvHeads, rows, x.shape[3]]);
  const q = grouped(queries!);
  const dOut = grouped(dy);
  const scores = tf.mul(tf.matMul(q, keys!, false, true), scale);
  const p = tf.softmax(tf.add(scores, causalMask(tokens, heads / kvHeads)));
  const d = tf.sum(tf.mul(dOut, grouped(output!)), 3, true);
  const dScores = tf.mul(p, tf.sub(tf.matMul(dOut, values!, false, true), d));
  return [
    tf.reshape(tf.mul(tf.matMul(dScores, keys!), scale), [batch, heads, tokens, dim]),
    tf.mul(tf.matMul(dScores, q, true), scale),
    tf.reshape(tf.matMul(p, dOut, true), [batch, kvHeads, tokens, dimV]),
  ];
}

/** 0 where a query may look, -1e30 where not: `[1, 1, group * tokens, tokens]`. */
function causalMask(tokens: number, group: number): tf.Tensor {
  const position = tf.range(0, tokens, 1, 'int32');
  const hidden = tf.greater(tf.reshape(position, [1, tokens]), tf.reshape(position, [tokens, 1]));
  return tf.tile(tf.reshape(tf.mul(tf.cast(hidden, 'float32'), -1e30), [1, 1, tokens, tokens]), [
    1,
    1,
    group,
    1,
  ]);
}
