import type * as tf from '@tensorflow/tfjs';
import type {Encoding} from '../../ops/encodings/encoding.js';
import type {Codec, HeadSizes, NumbersOf, PairCodec} from '../contract.js';
import {unrotateAt} from '../past/decode.js';
import type {Past} from '../past/past.js';
import {appendSegment, leastCommonMultiple, moveTokens} from '../past/segments.js';
import {numbersAtOnce} from '../past/undecided.js';

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
      const {rope, numbersOf} = context;
      const isRotated = keys.unrotated === true && rope !== undefined;
      const given = {
        keys: isRotated
          ? unrotateAt(block.keys.data, block.positions, {rope, tokensSeen: past.tokensSeen})
          : block.keys.data,
        values: block.values.data,
      };
      const decided = stored === undefined ? decidedSides({keys, values}, given, numbersOf) : {};
      if (decided === undefined) return undefined;
      const ofKeys = keys.encode(given.keys, stored?.keys, decided.keys);
      const encoded = {
        ...block,
        keys: isRotated && ofKeys.kind === 'lowRank' ? {...ofKeys, rotate: true} : ofKeys,
        values: values.encode(given.values, stored?.values, decided.values),
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

/** The numbers by which the codecs of a first block decide; undefined if they have yet to come. Absent where `encode` reads them. */
function decidedSides(
  codecs: SideCodecs,
  given: Readonly<Record<keyof SideCodecs, tf.Tensor4D>>,
  numbersOf: NumbersOf = numbersAtOnce,
): {readonly [Side in keyof SideCodecs]?: ArrayLike<number>} | undefined {
  const asking = (['keys', 'values'] as const).filter(side => codecs[side].decidedBy !== undefined);
  if (asking.length === 0 || numbersOf === numbersAtOnce) return {};
  const numbers = numbersOf(asking.map(side => () => codecs[side].decidedBy!(given[side])));
  return numbers && Object.fromEntries(asking.map((side, part) => [side, numbers(part)]));
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
