import * as v from 'valibot';
import {foldOldest} from '../past/update_svd.js';
import {atLeast, checkOptions, checkRank} from '../../base/options.js';
import type {Policy} from '../policy.js';

const schema = v.strictObject({
  rank: v.optional(v.nullable(atLeast(1)), null),
  updateFreq: v.optional(atLeast(1), 16),
});

export type OnlineSvdOptions = v.InferInput<typeof schema>;

/**
 * Keys and values as a truncated singular value decomposition that grows with the text: `K ~ C B` with coefficients C
 * `[tokens, rank]` and an orthonormal basis B `[rank, dim]` per head. Fresh tokens stay exact until `updateFreq` of them
 * are there; then all are folded into the factors by an incremental update (Brand, 2002), which is exact given the past
 * as it was truncated. `rank` is 32 where it is not given, and half of a head's numbers where that is less.
 */
export function onlineSvd(options: OnlineSvdOptions = {}): Policy {
  const checked = checkOptions('onlineSvd', schema, options);
  const {rank, updateFreq} = checked;
  return {
    name: 'onlineSvd',
    options: checked,
    check: sizes => checkRank('onlineSvd: rank', rank ?? 1, sizes),
    compress: (past, context) =>
      past.recent.tokens < updateFreq ? past : foldOldest(past, past.recent.tokens, rank, context),
  };
}
