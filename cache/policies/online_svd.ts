import * as v from 'valibot';
import {foldOldest} from '../fold.js';
import {atLeast, checkOptions} from '../options.js';
import type {Policy} from '../policy.js';

const schema = v.strictObject({
  rank: v.optional(atLeast(1), 32),
  updateFreq: v.optional(atLeast(1), 16),
});

export type OnlineSvdOptions = v.InferInput<typeof schema>;

/**
 * Keys and values as a truncated singular value decomposition that grows with the text: `K ~ C B` with coefficients C
 * `[tokens, rank]` and an orthonormal basis B `[rank, dim]` per head. Fresh tokens stay exact until `updateFreq` of them
 * are there; then all are folded into the factors by an incremental update (Brand, 2002), which is exact given the past
 * as it was truncated. A rank above the head's dim keeps everything.
 */
export function onlineSvd(options: OnlineSvdOptions = {}): Policy {
  const checked = checkOptions('onlineSvd', schema, options);
  const {rank, updateFreq} = checked;
  return {
    name: 'onlineSvd',
    options: checked,
    compress: (past, context) =>
      past.recent.tokens < updateFreq ? past : foldOldest(past, past.recent.tokens, rank, context),
  };
}
