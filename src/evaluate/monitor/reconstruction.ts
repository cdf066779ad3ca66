import * as tf from '@tensorflow/tfjs';
import {type DenseSegment, type Past, type Segment, segmentsOf} from '../../../cache/past.js';
import {RopeTables} from '../../../cache/rope_tables.js';
import {decodeForm} from '../../../ops/decode/index.js';
import {gatherRows} from '../../../ops/gather_tokens/index.js';
import {rotate} from '../../../ops/rotate/index.js';
import type {RopeConfig} from '../../../ops/rotate/rope.js';

/** Squared Frobenius norms over the tokens that a past still holds. */
export interface ReconstructionSquares {
  readonly keyError: number;
  readonly keyEnergy: number;
  readonly valueError: number;
  readonly valueEnergy: number;
}

/**
 * How far the keys and values that a past stores are from those that came in: ||K' - K||^2 and ||K||^2, tokens held only.
 * Segment by segment, decoded: for the monitor, not for the hot path.
 *
 * @param exact the same tokens, dense, from position 0 on, keys rotated.
 * @param rope how the model rotates keys.
 */
export async function reconstructionSquares(
  past: Past,
  exact: DenseSegment,
  rope: RopeConfig | undefined,
): Promise<ReconstructionSquares> {
  const sums = tf.tidy(() => {
    const unrotated = unrotatedKeys(exact, rope);
    const perSegment = segmentsOf(past).map(segment => {
      const {keys, values, tokens} = segment;
      const exactKeys = keys.kind === 'lowRank' && keys.rotate === true ? unrotated() : exact.keys.data;
      return tf.stack([
        ...squares(decodeForm(keys, 0, tokens), tokensOf(exactKeys, segment)),
        ...squares(decodeForm(values, 0, tokens), tokensOf(exact.values.data, segment)),
      ]);
    });
    return tf.addN(perSegment);
  });
  const [keyError = 0, keyEnergy = 0, valueError = 0, valueEnergy = 0] = await sums.data();
  sums.dispose();
  return {keyError, keyEnergy, valueError, valueEnergy};
}

function squares(decoded: tf.Tensor4D, exact: tf.Tensor4D): tf.Tensor[] {
  return [tf.sum(tf.squaredDifference(decoded, exact)), tf.sum(tf.square(exact))];
}

/** The exact tokens that a segment holds, in its order: a run, or each head its own. */
function tokensOf(exact: tf.Tensor4D, {positions, tokens}: Segment): tf.Tensor4D {
  if (typeof positions === 'number') return tf.slice(exact, [0, 0, positions, 0], [-1, -1, tokens, -1]);
  const held = tf.slice(positions, [0, 0, 0, 0], [-1, -1, tokens, -1]);
  return gatherRows(exact, tf.cast(tf.squeeze<tf.Tensor3D>(held, [3]), 'int32'));
}

/** Exact keys as they were before their rotation, made once where a segment asks for them. */
function unrotatedKeys({keys, tokens}: DenseSegment, rope: RopeConfig | undefined): () => tf.Tensor4D {
  let made: tf.Tensor4D | undefined;
  return () => {
    if (made !== undefined || rope === undefined) return made ?? keys.data;
    const tables = new RopeTables(rope, keys.dim);
    made = rotate(tf.slice(keys.data, [0, 0, 0, 0], [-1, -1, tokens, -1]), tables.inverse(0, tokens));
    tables.dispose();
    return made;
  };
}
