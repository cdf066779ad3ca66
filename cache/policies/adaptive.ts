import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {type Encoding, mapTensors, tensorsOf} from '../../ops/encodings/encoding.js';
import {hostNumbers} from '../../ops/host_numbers.js';
import {inWiderCodes} from '../../ops/integer/index.js';
import {attendPast} from '../past/attend_past.js';
import type {Codec} from '../codec.js';
import {dense as denseCodec} from '../codecs/dense.js';
import {integer} from '../codecs/integer.js';
import {atLeast, checkOptions, positiveNumber} from '../../base/options.js';
import type {Past, Segment} from '../past/past.js';
import type {Context, Policy} from '../policy.js';
import {
  type SideCodecs,
  appendSegment,
  dense,
  firstTokens,
  runPositions,
  sealable,
  withoutOldest,
} from '../past/segments.js';

const schema = v.strictObject({
  tolerance: v.optional(positiveNumber, 0.02),
  residual: v.optional(atLeast(1), 32),
  groupSize: v.optional(atLeast(1), 32),
});

export type AdaptiveOptions = v.InferInput<typeof schema>;

/**
 * Picks the storage of each block as it leaves the recent tokens: 2, 4 or 8 bits, the fewest with which the attention
 * output of the latest queries stays within `tolerance` (relative error `||out - out'|| / ||out||` over the whole past),
 * and float32 where none does. Each text of a batch has its own: what it gets does not depend on its neighbours, only the
 * bytes do, since a block takes the room of the widest codes that one of its texts needs.
 */
export function adaptive(options: AdaptiveOptions = {}): Policy {
  const checked = checkOptions('adaptive', schema, options);
  const {tolerance, residual, groupSize} = checked;
  const levels: readonly Level[] = [
    ...([2, 4, 8] as const).map(bits => ({name: `bits${bits}`, codecs: integers(bits, groupSize)})),
    {name: 'exact', codecs: {keys: denseCodec(), values: denseCodec()}},
  ];
  return {
    name: 'adaptive',
    options: checked,
    compress(past, context) {
      const block = sealable(past.recent.tokens, residual, levels[0]!.codecs);
      if (block === 0 || context.queries === undefined) return past;
      const queries = latestQueries(context.queries, past.recent.tokens - block);
      const exact = attendPast(past, queries, context);
      const [keys, values] = [firstTokens(past.recent.keys, block), firstTokens(past.recent.values, block)];
      let open = Array.from({length: queries.shape[0]}, (_, text) => text); // texts without a level yet
      const chosen: number[] = [];
      for (const [index, {name, codecs}] of levels.entries()) {
        const encoded = {keys: codecs.keys.encode(keys), values: codecs.values.encode(values)};
        const sealed = sealAs(name, past, block, encoded, context);
        const errors = name === 'exact' ? [] : relativeErrors(exact, sealed, queries, context);
        for (const text of open) if ((errors[text] ?? 0) <= tolerance) chosen[text] = index;
        open = open.filter(text => chosen[text] === undefined);
        if (open.length > 0) continue;
        if (chosen.every(level => level === index)) return sealed;
        const own = chosen.map(level => levels[level]!.codecs);
        const mixed = {
          keys: encodedByText(
            keys,
            own.map(of => of.keys),
            encoded.keys,
          ),
          values: encodedByText(
            values,
            own.map(of => of.values),
            encoded.values,
          ),
        };
        return sealAs(name, past, block, mixed, context);
      }
      return past;
    },
  };
}

interface Level {
  readonly name: string;
  readonly codecs: SideCodecs;
}

function integers(bits: 8 | 4 | 2, groupSize: number): SideCodecs {
  return {
    keys: integer({bits, groupSize, groupAxis: 'channel'}),
    values: integer({bits, groupSize, groupAxis: 'token'}),
  };
}

/** Moves the oldest recent tokens into the held segment of that name; blocks of a name need not follow each other. */
function sealAs(
  name: string,
  past: Past,
  tokens: number,
  encoded: Pick<Segment, 'keys' | 'values'>,
  {expectedTokens}: Context,
): Past {
  const {recent, held, events} = past;
  const block: Segment = {...encoded, tokens, positions: runPositions(recent.positions, tokens, recent.keys)};
  return {
    ...past,
    held: {...held, [name]: appendSegment(held[name], block, expectedTokens)},
    recent: withoutOldest(recent, tokens),
    events: {...events, seals: events.seals + 1},
  };
}

/** Each text by a codec of its own, whose numbers are then laid out like `widest`: they stay what they were. */
function encodedByText(x: tf.Tensor4D, codecs: readonly Codec[], widest: Encoding): Encoding {
  const encodings = codecs.map((codec, text) => {
    const encoding = codec.encode(tf.slice(x, [text, 0, 0, 0], [1, -1, -1, -1]));
    if (encoding.kind === 'integer' && widest.kind === 'integer') return inWiderCodes(encoding, widest.bits);
    return dense(decodeEncoding(encoding, 0, x.shape[2]));
  });
  return mapTensors(widest, (_, name) =>
    tf.concat(
      encodings.map(encoding => tensorsOf(encoding)[name]!.tensor),
      0,
    ),
  );
}

/** The last queries: as many as there are tokens behind the block, so that all of them see all of it. */
function latestQueries(queries: tf.Tensor4D, tokensBehind: number): tf.Tensor4D {
  const count = Math.min(queries.shape[2], Math.max(tokensBehind, 1));
  return tf.slice(queries, [0, 0, queries.shape[2] - count, 0], [-1, -1, count, -1]);
}

/** One of each text. */
function relativeErrors(
  exact: tf.Tensor4D,
  past: Past,
  queries: tf.Tensor4D,
  context: Context,
): ArrayLike<number> {
  const norm = (x: tf.Tensor) => tf.sqrt(tf.sum(tf.square(x), [1, 2, 3]));
  const output = attendPast(past, queries, context);
  return hostNumbers(tf.divNoNan(norm(tf.sub(output, exact)), norm(exact)));
}
