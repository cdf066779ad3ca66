import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {hostNumbers} from '../../ops/host_numbers.js';
import {attendPast} from '../attend_past.js';
import {dense as denseCodec} from '../codecs/dense.js';
import {integer} from '../codecs/integer.js';
import {atLeast, checkOptions, positiveNumber} from '../options.js';
import type {Past, Segment} from '../past.js';
import type {Context, Policy} from '../policy.js';
import {
  type SideCodecs,
  appendSegment,
  encodeKeys,
  firstTokens,
  runPositions,
  sealable,
  withoutOldest,
} from '../segments.js';

const schema = v.strictObject({
  tolerance: v.optional(positiveNumber, 0.02),
  residual: v.optional(atLeast(1), 32),
  groupSize: v.optional(atLeast(1), 32),
});

export type AdaptiveOptions = v.InferInput<typeof schema>;

/**
 * Picks the storage of each block as it leaves the recent tokens: 2, 4 or 8 bits, the fewest with which the attention
 * output of the latest queries stays within `tolerance` (relative error `||out - out'|| / ||out||` over the whole past),
 * and float32 where none does.
 */
export function adaptive(options: AdaptiveOptions = {}): Policy {
  const checked = checkOptions('adaptive', schema, options);
  const {tolerance, residual, groupSize} = checked;
  const levels: readonly (readonly [string, SideCodecs])[] = [
    ...([2, 4, 8] as const).map(bits => [`bits${bits}`, integers(bits, groupSize)] as const),
    ['exact', {keys: denseCodec(), values: denseCodec()}],
  ];
  const [, narrowest] = levels[0]!;
  return {
    name: 'adaptive',
    options: checked,
    compress(past, context) {
      const block = sealable(past.recent.tokens, residual, narrowest);
      if (block === 0 || context.queries === undefined) return past;
      const queries = latestQueries(context.queries, past.recent.tokens - block);
      const exact = attendPast(past, queries, context);
      let chosen = past;
      for (const [name, codecs] of levels) {
        chosen = sealAs(name, past, block, codecs, context);
        if (name === 'exact' || relativeError(exact, chosen, queries, context) <= tolerance) break;
      }
      return chosen;
    },
  };
}

function integers(bits: 8 | 4 | 2, groupSize: number): SideCodecs {
  return {
    keys: integer({bits, groupSize, groupAxis: 'channel'}),
    values: integer({bits, groupSize, groupAxis: 'token'}),
  };
}

/** Moves the oldest recent tokens into the held segment of that name; blocks of a name need not follow each other. */
function sealAs(name: string, past: Past, tokens: number, codecs: SideCodecs, context: Context): Past {
  const {recent, held, events} = past;
  const first = recent.positions;
  const block: Segment = {
    keys: encodeKeys(firstTokens(recent.keys, tokens), first, codecs.keys, held[name]?.keys, context.rope),
    values: codecs.values.encode(firstTokens(recent.values, tokens), held[name]?.values),
    tokens,
    positions: runPositions(first, tokens, recent.keys),
  };
  return {
    ...past,
    held: {...held, [name]: appendSegment(held[name], block, context.expectedTokens)},
    recent: withoutOldest(recent, tokens),
    events: {...events, seals: events.seals + 1},
  };
}

/** The last queries: as many as there are tokens behind the block, so that all of them see all of it. */
function latestQueries(queries: tf.Tensor4D, tokensBehind: number): tf.Tensor4D {
  const count = Math.min(queries.shape[2], Math.max(tokensBehind, 1));
  return tf.slice(queries, [0, 0, queries.shape[2] - count, 0], [-1, -1, count, -1]);
}

function relativeError(exact: tf.Tensor4D, past: Past, queries: tf.Tensor4D, context: Context): number {
  const output = attendPast(past, queries, context);
  return hostNumbers(tf.divNoNan(tf.norm(tf.sub(output, exact)), tf.norm(exact)))[0]!;
}
