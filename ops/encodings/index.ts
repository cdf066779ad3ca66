import type {EncodingKind} from './kind.js';
import {lowRankKind} from './low_rank.js';
import {tokenKinds} from './token_kinds.js';

/** Every kind of encoding, one file each in this folder. A new kind of token encoding is a line in token_kinds.ts. */
export const encodingKinds = {...tokenKinds, lowRank: lowRankKind};

/**
 * An *encoding* is one side (the keys, or the values) of a run of tokens as it lies in memory. Codecs make encodings; attention
 * reads them directly, tile by tile, so keys and values may be stored in different encodings.
 *
 * Every tensor of an encoding has axes `[batch, kvHeads, rows, columns]`; `tensorsOf` says how many tokens one row covers. The
 * row axis may have spare capacity: the owner of the encoding knows how many tokens are valid.
 */
export type Encoding = ReturnType<(typeof encodingKinds)[keyof typeof encodingKinds]['make']>;

/** An encoding without its tensors: plain JSON. */
export type EncodingLayout = ReturnType<(typeof encodingKinds)[keyof typeof encodingKinds]['layout']>;

/** All that is known of the kind of an encoding or layout. */
export function kindOf({
  kind,
}: {
  readonly kind: EncodingLayout['kind'];
}): EncodingKind<Encoding, EncodingLayout> {
  return encodingKinds[kind];
}
