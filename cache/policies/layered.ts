import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {type Factory, atLeast} from '../../base/options.js';
import {integerBits, type IntegerBits} from '../../ops/encodings/integer.js';
import {integer} from '../codecs/integer.js';
import {lowRank} from '../codecs/low_rank.js';
import {onlineSvd} from '../codecs/online_svd.js';
import {codecPair} from '../codecs/pair.js';
import {checkRank} from '../codecs/rank.js';
import type {PairCodec, Policy} from '../contract.js';
import {type KeepOptions, definePolicy, keepEntries} from './define.js';

export interface LayeredOptions extends KeepOptions {
  /** The fewest last tokens that stay exact: the short term. Default 128. */
  readonly shortTermSize?: number;
  /** Rank of the long term: directions per head. Default: 32, or half the head's dim if that is less. */
  readonly longTermRank?: number | null;
  /** Bits per number of the long term's codes or latents. Default null: the long term is low rank in float32. */
  readonly longTermBits?: IntegerBits | null;
  /** Which side is low rank; the other is stored in `longTermBits`. Values often have no low rank. Default `'both'`. */
  readonly rankOf?: 'both' | 'keys' | 'values';
}

const entries = {
  shortTermSize: v.optional(atLeast(1), 128),
  longTermRank: v.optional(v.nullable(atLeast(1)), null),
  longTermBits: v.optional(v.nullable(integerBits), null),
  rankOf: v.optional(v.picklist(['both', 'keys', 'values'], 'expected "both", "keys" or "values"'), 'both'),
  ...keepEntries,
};

/** Tokens that a fixed basis is computed from; all later tokens are projected onto it. */
const basisTokens = 128;
/** Tokens per update of the factors. An update rotates all old coefficients, whether it adds 16 tokens or 64. */
const updateTokens = 64;

/**
 * Short and long term: the first `sinks` and the last `shortTermSize` tokens stay exact; all between are compressed, keys and values.
 *
 * - Neither option, or `longTermRank` alone: low rank, with factors that are updated as the text grows, as in `onlineSvd`.
 * - `longTermBits` alone: integer codes.
 * - Both, or `rankOf` with `longTermBits`: latents of `longTermBits` in a basis of the first tokens; each token is encoded once.
 *
 * Tokens wait for a block: up to 63 more than `shortTermSize` are exact, and up to 127 before there is a basis.
 */
export const layered: Factory<LayeredOptions, Policy> = definePolicy('layered', entries, checked => {
  const {sinks, shortTermSize, keep, longTermRank: rank, longTermBits: bits, rankOf} = checked;
  if (rankOf !== 'both' && bits === null) {
    throw new InvalidArgumentError(
      `layered: rankOf = "${rankOf}" needs longTermBits, the bits of the other side and of the latents.`,
    );
  }
  const store = bits === null ? onlineSvd({rank, updateFreq: updateTokens}) : longTerm(bits, rank, rankOf);
  const check: PairCodec['check'] = sizes => checkRank('layered: longTermRank', rank ?? 1, sizes);
  const recentOption = (tokens: number) => `shortTermSize: ${tokens}`;
  return {sinks, recent: shortTermSize, recentOption, keep, store: {...store, check}};
});

function longTerm(bits: IntegerBits, rank: number | null, rankOf: 'both' | 'keys' | 'values'): PairCodec {
  const perChannel = {bits, groupAxis: 'channel', groupSize: 32} as const;
  const plain = {keys: integer(perChannel), values: integer({...perChannel, groupAxis: 'token'})};
  if (rank === null && rankOf === 'both') return codecPair(plain);
  // magnitudes differ far more between latents than between tokens: one scale per latent, for keys and for values
  const codec = lowRank({rank, latents: {name: 'integer', options: perChannel}});
  const pair = codecPair({
    keys: rankOf === 'values' ? plain.keys : codec,
    values: rankOf === 'keys' ? plain.values : codec,
  });
  return {...pair, firstTokens: sizes => Math.max(basisTokens, pair.firstTokens?.(sizes) ?? 1)};
}
