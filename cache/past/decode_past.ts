import * as tf from '@tensorflow/tfjs';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {gatherRows} from '../../ops/gather_tokens/index.js';
import {rotate} from '../../ops/rotate/index.js';
import {type DenseSegment, type Past, type Segment, segmentsOf} from './past.js';
import type {RopeTables} from './rope_tables.js';
import {dense, runPositions, withoutOldest} from './segments.js';

/**
 * A past as another policy can take it over: decoded to dense tokens. Where nothing is missing, all of them lie in
 * `recent`, in the order of the text. Where tokens were evicted, the newest run without gaps lies in `recent`, and what
 * else is held stays beside it, exact, as `heavy` (each head its own tokens).
 *
 * Tensors of the result belong to the caller. For changing plans, not for the hot path: one depth is dense meanwhile.
 */
export async function reopen(past: Past, rope: RopeTables | undefined): Promise<Past> {
  const segments = segmentsOf(past);
  const positions = await Promise.all(segments.map(hostPositions));
  const {events, tokensSeen} = past;
  const opened = tf.tidy(() => {
    const order = orderOfText(positions, tokensSeen);
    if (order !== undefined) {
      const all = joined(segments.map(segment => decoded(segment, rope)));
      return {recent: inOrder(all, order)} as Opened;
    }
    const {keys, values, tokens, positions: first} = past.recent; // without the scores: they are another policy's
    const others = segments.filter(segment => segment !== past.recent);
    return {
      recent: withoutOldest({keys, values, tokens, positions: first}, 0),
      ...(others.length > 0 && {heavy: joined(others.map(segment => decoded(segment, rope)))}),
    } as Opened;
  });
  const {recent, heavy} = opened;
  return {held: heavy ? {heavy} : {}, recent, tokensSeen, events};
}

type Opened = {recent: DenseSegment; heavy?: Segment} & tf.TensorContainerObject;

/** The positions of every head, one row a head; one row for all where they share a run. */
async function hostPositions({positions, tokens}: Segment): Promise<number[][]> {
  if (typeof positions === 'number') return [Array.from({length: tokens}, (_, i) => positions + i)];
  const [batch, kvHeads, rows] = positions.shape;
  const numbers = await positions.data();
  return Array.from({length: batch * kvHeads}, (_, head) => [
    ...numbers.slice(head * rows, head * rows + tokens),
  ]);
}

/** The rows that put all tokens in the order of the text, where every head holds the whole of it. */
function orderOfText(positions: readonly number[][][], tokensSeen: number): number[] | undefined {
  const alike = positions.every(heads => heads.every(head => head.join() === heads[0]!.join()));
  const row = positions.flatMap(heads => heads[0] ?? []);
  if (!alike || row.length !== tokensSeen) return undefined;
  const order = row.map((_, index) => index).sort((a, b) => row[a]! - row[b]!);
  return order.every((index, position) => row[index] === position) ? order : undefined;
}

type Tokens = Omit<DenseSegment, 'positions'> & {readonly positions: tf.Tensor4D};

/** A segment with dense, rotated keys. */
function decoded({keys, values, tokens, positions}: Segment, rope: RopeTables | undefined): Tokens {
  const raw = decodeEncoding(keys, 0, tokens);
  const unrotated = keys.kind === 'lowRank' && keys.rotate === true && rope !== undefined;
  return {
    // keys that were stored before their rotation always lie in a run without gaps
    keys: dense(unrotated ? rotate(raw, rope.rotation(positions as number, tokens)) : raw),
    values: dense(decodeEncoding(values, 0, tokens)),
    tokens,
    positions:
      typeof positions === 'number'
        ? runPositions(positions, tokens, keys)
        : tf.slice(positions, [0, 0, 0, 0], [-1, -1, tokens, -1]),
  };
}

function joined(parts: readonly Tokens[]): Tokens {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  return {
    keys: dense(
      tf.concat(
        parts.map(({keys}) => keys.data),
        2,
      ),
    ),
    values: dense(
      tf.concat(
        parts.map(({values}) => values.data),
        2,
      ),
    ),
    tokens: parts.reduce((sum, {tokens}) => sum + tokens, 0),
    positions: tf.concat(
      parts.map(({positions}) => positions),
      2,
    ),
  };
}

function inOrder({keys, values, tokens}: Tokens, order: readonly number[]): DenseSegment {
  const [batch, kvHeads] = keys.data.shape;
  const indices = Int32Array.from({length: batch * kvHeads * tokens}, (_, i) => order[i % tokens]!);
  return {
    keys: dense(gatherRows(keys.data, indices)),
    values: dense(gatherRows(values.data, indices)),
    tokens,
    positions: 0,
  };
}
