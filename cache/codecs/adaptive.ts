import * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {type Factory, defineFactory, positiveNumber} from '../../base/options.js';
import {append} from '../../ops/append/index.js';
import {decodeEncoding} from '../../ops/encodings/decode.js';
import {type Encoding, mapTensors, tensorsOf} from '../../ops/encodings/encoding.js';
import {inWiderCodes} from '../../ops/integer/index.js';
import type {Codec, Context, PairCodec} from '../contract.js';
import {attendPast} from '../past/attend_past.js';
import type {DenseBlock, Past, Segment} from '../past/past.js';
import {dense as denseEncoding, positionsOf} from '../past/segments.js';
import {numbersAtOnce} from '../past/undecided.js';
import {dense} from './dense.js';
import {groupSizes, integer} from './integer.js';
import {type SideCodecs, codecPair, withBlock} from './pair.js';

export interface AdaptiveCodecOptions {
  /** The largest relative error of the attention output per text, `||out - out'|| / ||out||` (Frobenius norm). Default 0.02. */
  readonly tolerance?: number;
  /** Numbers that share a scale: consecutive tokens of a key channel, consecutive channels of a value; at most 1,024. Default 32. */
  readonly groupSize?: number;
}

export const adaptiveEntries = {
  tolerance: v.optional(positiveNumber, 0.02),
  groupSize: v.optional(groupSizes, 32),
};

/**
 * Chooses the bits of each block of tokens: the fewest of 2, 4 and 8 for which the attention output of the latest queries, over the
 * whole past, stays within `tolerance`; float32 if none does. The choice is made for each text of a batch separately, so a text's
 * result does not depend on the other texts. Its bytes do: a block is stored in the widest codes that one of its texts needs.
 *
 * Blocks of equal bits share a segment (`bits2`, `bits4`, `bits8`, `exact`). On webgpu, whose numbers come late, all bits are tried at once, and
 * the block stays exact until their errors were read: until the next step if the caller awaits the numbers of each.
 */
export const adaptive: Factory<AdaptiveCodecOptions, PairCodec> = defineFactory(
  'adaptive',
  adaptiveEntries,
  options => {
    const {tolerance, groupSize} = options;
    const levels: readonly Level[] = [
      ...([2, 4, 8] as const).map(bits => ({name: `bits${bits}`, codecs: integers(bits, groupSize)})),
      {name: 'exact', codecs: {keys: dense(), values: dense()}},
    ];
    const {blockTokens, moveTokens} = codecPair(levels[0]!.codecs);
    return {
      name: 'adaptive',
      options,
      blockTokens,
      moveTokens,
      add(past, block, context) {
        if (context.queries === undefined) return undefined;
        const {numbersOf = numbersAtOnce} = context;
        const queries = latestQueries(context.queries, past.recent.tokens);
        const output = (of: Pick<Segment, 'keys' | 'values'>) =>
          attendPast({...past, held: {...past.held, block: {...block, ...of}}}, queries, context);
        const exact = lazily(() => output(block));
        const encoded = levels.map(({codecs}) => lazily(() => encodedBy(codecs, block)));
        const trials = encoded.slice(0, -1).map(sides => () => relativeErrors(exact(), output(sides())));
        const errors = numbersOf(trials);
        if (errors === undefined) return undefined;
        let open = Array.from({length: queries.shape[0]}, (_, text) => text); // texts without a level yet
        const chosen: number[] = [];
        for (const [index, {name}] of levels.entries()) {
          const ofTexts = index < trials.length ? errors(index) : [];
          for (const text of open) if ((ofTexts[text] ?? 0) <= tolerance) chosen[text] = index;
          open = open.filter(text => chosen[text] === undefined);
          if (open.length > 0) continue;
          const own = chosen.map(level => levels[level]!.codecs);
          const widest = encoded[index]!();
          const alike = chosen.every(level => level === index);
          return storedAs(name, past, block, alike ? widest : mixed(block, own, widest), context);
        }
        return past;
      },
    };
  },
);

interface Level {
  readonly name: string;
  readonly codecs: SideCodecs;
}

type Sides = Readonly<Record<'keys' | 'values', Encoding>>;

function integers(bits: 8 | 4 | 2, groupSize: number): SideCodecs {
  return {
    keys: integer({bits, groupSize, groupAxis: 'channel'}),
    values: integer({bits, groupSize, groupAxis: 'token'}),
  };
}

const encodedBy = (codecs: SideCodecs, {keys, values}: DenseBlock): Sides => ({
  keys: codecs.keys.encode(keys.data),
  values: codecs.values.encode(values.data),
});

/** Blocks of one segment need not be consecutive, so the position of each token is stored. */
function storedAs(name: string, past: Past, block: DenseBlock, encoded: Sides, context: Context): Past {
  return withBlock(past, name, {...block, ...encoded, positions: positionsOf(block)}, context.expectedTokens);
}

/** Encodes each text with its own codecs, then widens the codes to the layout of `widest`. Decoded numbers do not change. */
function mixed({keys, values}: DenseBlock, own: readonly SideCodecs[], widest: Sides): Sides {
  return {
    keys: encodedByText(
      keys.data,
      own.map(codecs => codecs.keys),
      widest.keys,
    ),
    values: encodedByText(
      values.data,
      own.map(codecs => codecs.values),
      widest.values,
    ),
  };
}

function encodedByText(x: tf.Tensor4D, codecs: readonly Codec[], widest: Encoding): Encoding {
  const encodings = codecs.map((codec, text) => {
    const encoding = codec.encode(tf.slice(x, [text, 0, 0, 0], [1, -1, -1, -1]));
    if (encoding.kind === 'integer' && widest.kind === 'integer') return inWiderCodes(encoding, widest.bits);
    return denseEncoding(decodeEncoding(encoding, 0, x.shape[2]));
  });
  return mapTensors(widest, (_, name) =>
    joined(encodings.map(encoding => tensorsOf(encoding)[name]!.tensor)),
  );
}

/** Tensors of one text each as one of all. Exact for codes: tfjs' concat moves int32 through float32 on webgpu. */
function joined(ofTexts: readonly tf.Tensor4D[]): tf.Tensor4D {
  const [, heads, rows, columns] = ofTexts[0]!.shape;
  let all: tf.Tensor4D | undefined;
  for (const [text, tensor] of ofTexts.entries()) {
    const flat = tf.reshape<tf.Rank.R4>(tensor, [1, 1, heads * rows, columns]);
    all = append(all, flat, text * heads * rows, ofTexts.length * heads * rows);
  }
  return tf.reshape(all!, [ofTexts.length, heads, rows, columns]);
}

/** The last queries: as many as there are tokens after the block (at least one), so that each of them sees the whole block. */
function latestQueries(queries: tf.Tensor4D, tokensAfter: number): tf.Tensor4D {
  const count = Math.min(queries.shape[2], Math.max(tokensAfter, 1));
  return tf.slice(queries, [0, 0, queries.shape[2] - count, 0], [-1, -1, count, -1]);
}

/** The relative error of the attention output of each text, `[batch]`. */
function relativeErrors(exact: tf.Tensor4D, output: tf.Tensor4D): tf.Tensor {
  const norm = (x: tf.Tensor) => tf.sqrt(tf.sum(tf.square(x), [1, 2, 3]));
  return tf.divNoNan(norm(tf.sub(output, exact)), norm(exact));
}

function lazily<T>(make: () => T): () => T {
  let made: {readonly value: T} | undefined;
  return () => (made ??= {value: make()}).value;
}
