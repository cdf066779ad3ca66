import * as tf from '@tensorflow/tfjs';

/** Numbers that a comparison left on the backend, and what follows from them. */
export interface Finding {
  readonly numbers: tf.Tensor;
  /** @throws ModelError if they show that a cache would give other numbers. */
  judge(numbers: Float32Array): void;
}

/** Reads what was found, and judges it in order. */
export async function judgeAll(findings: readonly Finding[]): Promise<void> {
  try {
    const read = await Promise.all(findings.map(({numbers}) => numbers.data<'float32'>()));
    for (const [index, {judge}] of findings.entries()) judge(read[index]!);
  } finally {
    tf.dispose(findings.map(({numbers}) => numbers));
  }
}

/** The largest difference of two tensors `[batch, tokens, ...]` at each token: float32 `[tokens]`. */
export function differences(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const [batch = 1, tokens = 1] = a.shape;
  const difference = tf.abs(tf.sub(asFloats(a), asFloats(b)));
  return tf.max(tf.reshape(difference, [batch, tokens, -1]), [0, 2]);
}

/** The largest magnitude, `[1]`. */
export const largestOf = (x: tf.Tensor) => tf.reshape(tf.max(tf.abs(asFloats(x))), [1]);

export const asFloats = (x: tf.Tensor) => tf.cast(x, 'float32');

/** The tokens `from .. from + count` of `[batch, tokens, ...]`. */
export function tokensOf(x: tf.Tensor, from: number, count: number): tf.Tensor {
  return tf.slice(x, [0, from], [-1, count]);
}

/** The first number that is not within a bound (NaN is not), or -1. */
export const firstBeyond = (numbers: Float32Array, bound: number) =>
  numbers.findIndex(number => !(number <= bound));
