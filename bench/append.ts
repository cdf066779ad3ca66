import * as tf from '@tensorflow/tfjs';
import {append} from '../ops/append/index.js';
import {measure} from './support/measure.js';
import type {Row} from './support/row.js';

/** One token more for pasts of so many tokens, 3 heads of 64, in a buffer that has room. */
export async function appendRows(lengths: readonly number[], rounds: number): Promise<Row[]> {
  const fresh = tf.randomNormal<tf.Rank.R4>([1, 3, 1, 64]);
  const pasts = lengths.map(tokens => {
    const past = tf.randomNormal<tf.Rank.R4>([1, 3, tokens, 64]);
    const buffer = append(undefined, past, 0, tokens + 64);
    past.dispose();
    return {tokens, buffer};
  });
  const tasks = Object.fromEntries(
    pasts.map(past => [
      String(past.tokens),
      () => {
        const next = append(past.buffer, fresh, past.tokens, past.tokens + 64);
        if (next !== past.buffer) past.buffer.dispose();
        past.buffer = next;
      },
    ]),
  );
  const ms = await measure(tasks, rounds, 200);
  tf.dispose([fresh, ...pasts.map(({buffer}) => buffer)]);
  return pasts.map(({tokens}) => ({
    ...{op: 'append', backend: tf.getBackend(), codec: 'dense', shape: '[3, T, 64]', tokens},
    ms: ms[String(tokens)]!,
  }));
}
