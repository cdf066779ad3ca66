import * as tf from '@tensorflow/tfjs';
import {append} from '../ops/append/index.js';
import {measure} from './support/measure.js';
import type {Row} from './support/row.js';

/** Tokens that there is room for: more than a run appends. */
const room = 16384;

/** The time to append one token to pasts of several lengths, 3 heads of 64, in a buffer with spare capacity. */
export async function appendRows(lengths: readonly number[], rounds: number): Promise<Row[]> {
  const fresh = tf.randomNormal<tf.Rank.R4>([1, 3, 1, 64]);
  const pasts = lengths.map(tokens => {
    const past = tf.randomNormal<tf.Rank.R4>([1, 3, tokens, 64]);
    const buffer = append(undefined, past, 0, tokens + room);
    past.dispose();
    return {tokens, buffer, filled: tokens};
  });
  const tasks = Object.fromEntries(
    pasts.map(past => [
      String(past.tokens),
      () => {
        const next = append(past.buffer, fresh, past.filled, past.filled + room);
        if (next !== past.buffer) past.buffer.dispose();
        past.buffer = next;
        past.filled += 1; // a second append to the same state would copy it
      },
    ]),
  );
  const ms = await measure(tasks, rounds, 1000, 0); // as many as fit the room
  tf.dispose([fresh, ...pasts.map(({buffer}) => buffer)]);
  return pasts.map(({tokens}) => ({
    ...{op: 'append', backend: tf.getBackend(), codec: 'dense', shape: '[3, T, 64]', tokens},
    ms: ms[String(tokens)]!,
  }));
}
