import * as tf from '@tensorflow/tfjs';

export type AppendInputs = {buffer?: tf.Tensor4D; fresh: tf.Tensor4D};

export interface AppendAttributes {
  /** How many rows of the buffer are filled. */
  readonly at: number;
  /** Rows of a new buffer. */
  readonly capacity: number;
}

/** `append` if nothing can be written in place: a new tensor of exactly the rows that there are. */
export function appendReference({buffer, fresh}: AppendInputs, {at}: AppendAttributes): tf.Tensor4D {
  if (buffer === undefined || at === 0) return tf.clone(fresh);
  return tf.tidy(() => tf.concat([tf.slice(buffer, [0, 0, 0, 0], [-1, -1, at, -1]), fresh], 2));
}
