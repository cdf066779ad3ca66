import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {type Factory, atLeast, oneOf} from '../../base/options.js';
import {integer} from '../codecs/integer.js';
import {lowRank} from '../codecs/low_rank.js';
import {onlineSvd} from '../codecs/online_svd.js';
import {codecPair} from '../codecs/pair.js';
import {checkRank} from '../codecs/rank.js';
import type {PairCodec, Policy} from '../contract.js';
import {type KeepOptions, definePolicy, keepEntries} from './define.js';

export interface LayeredOptions extends KeepOptions {
  /** Last tokens that stay exact, at the least: the short term. Default 128. */
  readonly shortTermSize?: number;
  /** Directions that the long term keeps. Default: 32, or half of a head's numbers if that is less. */
  readonly longTermRank?: number | null;
  /** Bits of the long term's codes, or of its latents. Default: none, the long term is low rank in float32. */
  readonly longTermBits?: 8 | 4 | 2 | null;
  /** Which side is low rank; the other is stored in `longTermBits`. Values often are not low rank. Default `'both'`. */
  readonly rankOf?: 'both' | 'keys' | 'values';
}

const entries = {
  shortTermSize: v.optional(atLeast(1), 128),
  longTermRank: v.optional(v.nullable(atLeast(1)), null),
  longTermBits: v.optional(v.nullable(oneOf(8, 4, 2)), null),
  rankOf: v.optional(v.picklist(['both', 'keys', 'values'], 'expected "both", "keys" or "values"'), 'both'),
  ...keepEntries,
};

/** Tokens of the first block of a fixed basis, on which all later tokens are projected. */
const basisTokens = 128;
/** Tokens of one update of the factors: as many rows of old coefficients are brought along for 16 tokens as for 64. */
const updateTokens = 64;

/**
 * Short and long term: the first `sinks` tokens and the last `shortTermSize` exact, all between compressed, keys and
 * values alike. The long term is low rank (`longTermRank`; its factors grow with the text as `onlineSvd`'s do), integer
 * codes (`longTermBits`), or both: latents of `longTermBits` in the basis of its first tokens, each encoded once. With
 * neither given it is low rank. Tokens wait for a block: up to 63 more than `shortTermSize` are exact, and 127 before there is a basis.
 */
export const layered: Factory<LayeredOptions, Policy> = definePolicy('layered', entries, checked => {
  const {sinks, shortTermSize, keep, longTermRank: rank, longTermBits: bits, rankOf} = checked;
  if (rankOf !== 'both' && bits === null) {
    throw new InvalidArgumentError(
      `layered: rankOf = "${rankOf}" needs longTermBits, which store the other side and the latents.`,
    );
  }
  const store = bits === null ? onlineSvd({rank, updateFreq: updateTokens}) : longTerm(bits, rank, rankOf);
  const check: PairCodec['check'] = sizes => checkRank('layered: longTermRank', rank ?? 1, sizes);
  return {sinks, recent: shortTermSize, keep, store: {...store, check}};
});

function longTerm(bits: 8 | 4 | 2, rank: number | null, rankOf: 'both' | 'keys' | 'values'): PairCodec {
  const perChannel = {bits, groupAxis: 'channel', groupSize: 32} as const;
  const plain = {keys: integer(perChannel), values: integer({...perChannel, groupAxis: 'token'})};
  if (rank === null && rankOf === 'both') return codecPair(plain);
  // latents differ in size from one to the next, far more than from token to token: scales per latent, on both sides
  const codec = lowRank({rank, latents: {name: 'integer', options: perChannel}});
  const pair = codecPair({
    keys: rankOf === 'values' ? plain.keys : codec,
    values: rankOf === 'keys' ? plain.values : codec,
  });
  return {...pair, firstTokens: sizes => Math.max(basisTokens, pair.firstTokens?.(sizes) ?? 1)};
}
