import * as v from 'valibot';
import {integer} from '../codecs/integer.js';
import {lowRank} from '../codecs/low_rank.js';
import {foldOldest} from '../past/update_svd.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {atLeast, checkOptions, checkRank, oneOf} from '../../base/options.js';
import type {Policy} from '../policy.js';
import {type SideCodecs, keepSinks, seal, sealable} from '../past/segments.js';

const schema = v.strictObject({
  sinks: v.optional(atLeast(0), 4),
  shortTermSize: v.optional(atLeast(1), 128),
  longTermRank: v.optional(v.nullable(atLeast(1)), null),
  longTermBits: v.optional(v.nullable(oneOf(8, 4, 2)), null),
  rankOf: v.optional(v.picklist(['both', 'keys', 'values'], 'expected "both", "keys" or "values"'), 'both'),
});

export type LayeredOptions = v.InferInput<typeof schema>;

/** Tokens of the first block of a fixed basis, which all later ones are projected on. */
const basisTokens = 128;
/** Tokens that are folded together: as many rows of old coefficients turn for 16 tokens as for 64. */
const foldTokens = 64;

/**
 * Short and long term: the first `sinks` tokens and the last `shortTermSize` exact, all between compressed, keys and
 * values alike. The long term is low rank (`longTermRank`; its factors grow with the text as `onlineSvd`'s do), integer
 * codes (`longTermBits`), or both: latents of `longTermBits` in the basis of its first tokens, each encoded once. With
 * neither given it is low rank. `rankOf: 'keys'` (or 'values') with `longTermBits` makes one side low rank and keeps codes
 * for the other: values often are not low rank. Tokens wait for a block: up to 63 more than `shortTermSize` are exact, and
 * 127 before there is a basis.
 */
export function layered(options: LayeredOptions = {}): Policy {
  const checked = checkOptions('layered', schema, options);
  const {sinks, shortTermSize, longTermRank: rank, longTermBits: bits, rankOf} = checked;
  if (rankOf !== 'both' && bits === null) {
    throw new InvalidArgumentError(
      `layered: rankOf = "${rankOf}" needs longTermBits, which store the other side and the latents.`,
    );
  }
  const hasBasis = rank !== null || rankOf !== 'both';
  const codecs = bits === null ? undefined : longTermCodecs(bits, rank, rankOf);
  return {
    name: 'layered',
    options: checked,
    check: sizes => checkRank('layered: longTermRank', rank ?? 1, sizes),
    compress(past, context) {
      const started = past.recent.tokens > shortTermSize ? keepSinks(past, sinks) : past;
      const over = started.recent.tokens - shortTermSize;
      if (codecs === undefined) return over < foldTokens ? started : foldOldest(started, over, rank, context);
      const first = started.held['old'] === undefined && hasBasis ? basisTokens : 0;
      if (over < first) return started;
      return seal(started, sealable(started.recent.tokens, shortTermSize, codecs), codecs, context);
    },
  };
}

function longTermCodecs(
  bits: 8 | 4 | 2,
  rank: number | null,
  rankOf: 'both' | 'keys' | 'values',
): SideCodecs {
  const perChannel = {bits, groupAxis: 'channel', groupSize: 32} as const;
  const plain = {keys: integer(perChannel), values: integer({...perChannel, groupAxis: 'token'})};
  if (rank === null && rankOf === 'both') return plain;
  // latents differ in size from one to the next, far more than from token to token: scales per latent, on both sides
  const codec = lowRank({rank, latents: {name: 'integer', options: perChannel}});
  return {
    keys: rankOf === 'values' ? plain.keys : codec,
    values: rankOf === 'keys' ? plain.values : codec,
  };
}
