import {denseKind} from './dense.js';
import {float8Kind} from './float8.js';
import {integerKind} from './integer.js';
import type {TokenEncodingKind} from './kind.js';
import {lloydMaxKind} from './lloyd_max.js';

/** The kinds of token encodings. A new kind is a file beside this one and a line here. */
export const tokenKinds = {
  dense: denseKind,
  integer: integerKind,
  float8: float8Kind,
  lloydMax: lloydMaxKind,
};

/** An encoding in which every token's numbers stand for themselves. */
export type TokenEncoding = ReturnType<(typeof tokenKinds)[keyof typeof tokenKinds]['make']>;

/** A token encoding without its tensors: what a kernel needs to know to read them. */
export type TokenLayout = ReturnType<(typeof tokenKinds)[keyof typeof tokenKinds]['layout']>;

/** All that is known of the kind of a token encoding or layout. */
export function tokenKindOf({
  kind,
}: {
  readonly kind: TokenLayout['kind'];
}): TokenEncodingKind<TokenEncoding, TokenLayout> {
  return tokenKinds[kind];
}

/** The number of key heads of a token encoding whose numbers or codes are `data`. */
export function kvHeadsOf(layout: TokenLayout, data: {readonly shape: readonly number[]}): number {
  return tokenKindOf(layout).kvHeads?.(layout) ?? data.shape[1]!;
}
