import * as tf from '@tensorflow/tfjs';
import {randomStream} from '../support/random.js';

/** Sizes of the texts of test/golden/cache. */
export const goldenShape = {batch: 2, heads: 4, kvHeads: 2, dim: 16};

export type GoldenText = {
  readonly queries: tf.Tensor4D;
  readonly keys: tf.Tensor4D;
  readonly values: tf.Tensor4D;
};

/** The text of a seed, number for number what text.py makes: integers from a hash, divided by 64. */
export function goldenText(seed: number, tokens: number): GoldenText {
  const {batch, heads, kvHeads, dim} = goldenShape;
  const parts = Array.from({length: batch * kvHeads}, (_, head) =>
    headOf(randomStream(100 * seed + head), tokens),
  );
  const side = (name: keyof Head, ofHeads: number) =>
    tf.tensor4d(
      Float32Array.from(
        parts.flatMap(part => part[name].flat()),
        integer => integer / 64,
      ),
      [batch, ofHeads, tokens, dim],
    );
  return {queries: side('queries', heads), keys: side('keys', kvHeads), values: side('values', kvHeads)};
}

/**
 * The metrics `W_O W_O^T` of the query heads, float32 `[heads, dim, dim]`, with the output projections that keepers.py makes of a seed: integers,
 * divided by 8.
 */
export function goldenMetric(seed: number): tf.Tensor3D {
  const {heads, dim} = goldenShape;
  const columns = 24;
  const next = randomStream(seed);
  const rows = Array.from({length: heads * dim}, (_, row) => smallIntegers(next, 2 + 3 * (row % 4), columns));
  return tf.tidy(() => {
    const projections = tf.tensor3d(
      Float32Array.from(rows.flat(), integer => integer / 8),
      [heads, dim, columns],
    );
    return tf.matMul(projections, projections, false, true);
  });
}

/** Whole numbers from -most to most, as many as asked for. */
export function smallIntegers(next: () => number, most: number, length: number): number[] {
  return Array.from({length}, () => Math.floor(next() * (2 * most + 1)) - most);
}

/** A key head: rows of tokens; those of its query heads one after the other. */
interface Head {
  readonly queries: number[][];
  readonly keys: number[][];
  readonly values: number[][];
}

function headOf(next: () => number, tokens: number): Head {
  const {heads, kvHeads, dim} = goldenShape;
  const group = heads / kvHeads;
  const small = (most: number, length: number) => smallIntegers(next, most, length);
  const mixing = () => Array.from({length: 4}, () => small(12, dim));
  const [keyMixing, valueMixing] = [mixing(), mixing()];
  /** A vector of rank 4 and noise, and so much of the direction that heavy keys lie along. */
  const vector = (rows: number[][], heavy: number) => {
    const [shares, noise, more] = [small(4, 4), small(9, dim), small(9, dim)];
    return noise.map((integer, channel) => {
      const mixed = rows.reduce((sum, row, i) => sum + shares[i]! * row[channel]!, 0);
      return mixed + integer + more[channel]! + (channel % 8 >= 6 ? 16 * heavy : 0);
    });
  };
  const [keys, values, queries]: [number[][], number[][], number[][][]] = [[], [], []];
  for (let token = 0; token < tokens; token++) {
    const heavy = next() < 1 / 8 ? 3 + Math.floor(next() * 3) : 0;
    keys.push(vector(keyMixing, heavy));
    values.push(vector(valueMixing, 0));
    queries.push(Array.from({length: group}, () => vector(keyMixing, 8)));
  }
  const ofHead = (head: number) => queries.map(heads => heads[head]!);
  return {keys, values, queries: Array.from({length: group}, (_, head) => ofHead(head)).flat()};
}
