import type * as tf from '@tensorflow/tfjs';
import type {Encoding} from '../../ops/encodings/encoding.js';
import type {Codec, HeadSizes, PairCodec} from '../contract.js';
import {type Rotated, unrotateAt} from '../past/decode.js';
import type {DenseBlock, Past} from '../past/past.js';
import {appendSegment, leastCommonMultiple, moveTokens} from '../past/segments.js';

/** The codecs for the keys and the values of the same tokens. */
export interface SideCodecs {
  readonly keys: Codec;
  readonly values: Codec;
}

/** Stores keys and values in one segment `stored`, each encoded by its own codec. Each token is encoded once. */
export function codecPair({keys, values}: SideCodecs): PairCodec {
  const blockTokens = leastCommonMultiple(keys.blockTokens, values.blockTokens);
  const alike = JSON.stringify([keys.name, keys.options]) === JSON.stringify([values.name, values.options]);
  const spec = ({name, options}: Codec) => ({name, options});
  return {
    name: alike ? keys.name : 'pair',
    options: alike ? keys.options : {keys: spec(keys), values: spec(values)},
    blockTokens,
    moveTokens: blockTokens * Math.ceil(moveTokens / blockTokens),
    exact: keys.exact === true && values.exact === true,
    check(sizes) {
      keys.check?.(sizes);
      values.check?.(sizes);
    },
    firstTokens: ({dim, dimV}: HeadSizes) => Math.max(payingTokens(keys, dim), payingTokens(values, dimV)),
    add(past, block, context) {
      const {stored} = past.held;
      const encoded = {
        ...block,
        keys: encodeKeys(keys, block, stored?.keys, {rope: context.rope, tokensSeen: past.tokensSeen}),
        values: values.encode(block.values.data, stored?.values),
      };
      return withBlock(past, 'stored', encoded, context.expectedTokens);
    },
    // tokens that share scales with one that changes would be rounded again and again
    ...(values.blockTokens === 1 && {
      encodeValues: (x: tf.Tensor4D, like: Encoding) => values.encode(x, like),
    }),
  };
}

/** Returns the past with one more encoded block, appended to the segment of that name. */
export function withBlock(
  past: Past,
  name: string,
  block: Past['held'][string],
  expectedTokens?: number,
): Past {
  const {held, events} = past;
  return {
    ...past,
    held: {...held, [name]: appendSegment(held[name], block, expectedTokens)},
    events: {...events, blocksEncoded: events.blocksEncoded + 1},
  };
}

/** Encodes rotated keys; undoes their rotary embedding first if the codec asks for it (`unrotated`). */
function encodeKeys(codec: Codec, block: DenseBlock, like: Encoding | undefined, rotated: Rotated): Encoding {
  const keys: tf.Tensor4D = block.keys.data;
  if (codec.unrotated !== true || rotated.rope === undefined) return codec.encode(keys, like);
  const encoding = codec.encode(unrotateAt(keys, block.positions, rotated), like);
  return encoding.kind === 'lowRank' ? {...encoding, rotate: true} : encoding;
}

/**
 * The fewest tokens of a run for which its shared numbers are worth their bytes. Shared numbers may take a third of the tokens' own,
 * because latents take half of them or more.
 */
function payingTokens({sharedNumbers}: Codec, dim: number): number {
  return paying(sharedNumbers?.(dim) ?? 0, dim);
}

/** The fewest tokens of `dim` numbers that hold three times as many numbers as they share. */
export const paying = (sharedNumbers: number, dim: number) => Math.ceil((3 * sharedNumbers) / dim);
