import type {WasmHeap} from '../../backends/wasm_heap.js';
import {evenRanges, partsOf} from '../../threads/index.js';
import type {TokenLayout} from '../../encodings/token_kinds.js';

/** What one thread attends of a segment: some key heads, or some query heads of one of them, or some tokens of all. */
export interface AttendPart {
  readonly firstHead: number;
  readonly heads: number;
  /** The query heads of each key head, from `firstMember` on. */
  readonly firstMember: number;
  readonly group: number;
  readonly fromToken: number;
  readonly toToken: number;
}

export interface AttendSize {
  /** Key heads of all texts. */
  readonly heads: number;
  readonly group: number;
  readonly queryTokens: number;
  /** Tokens that any query sees: from .. to. */
  readonly from: number;
  readonly to: number;
  /** Of keys and values together. */
  readonly dims: number;
  readonly keys: TokenLayout;
  readonly values: TokenLayout;
}

/** From so many queries on, each query head may read the keys and values of its own part. */
const manyQueries = 16;

/**
 * How threads share attention over a segment. Heads change no sum and leave no partials to merge, if there are enough of them; a single query is
 * else shared by tokens, and many queries by their own heads.
 */
export function attendParts(heap: WasmHeap, size: AttendSize): readonly AttendPart[] {
  const {heads, group, queryTokens, from, to} = size;
  const whole = {firstHead: 0, heads, firstMember: 0, group, fromToken: from, toToken: to};
  const parts = partsOf(heap, heads * group * queryTokens * (to - from) * size.dims);
  if (parts === 1) return [whole];
  const isEven = heads % parts === 0 || heads >= 4 * parts;
  if (!isEven && queryTokens === 1) {
    const unit = unitOf(size);
    const first = Math.floor(from / unit) * unit;
    return evenRanges(to - first, parts, unit).map(range => ({
      ...whole,
      fromToken: Math.max(from, first + range.from),
      toToken: first + range.to,
    }));
  }
  if (isEven || queryTokens < manyQueries || group === 1) {
    return evenRanges(heads, isEven ? 2 * parts : heads).map(range => ({
      ...whole,
      firstHead: range.from,
      heads: range.to - range.from,
    }));
  }
  return evenRanges(heads, heads).flatMap(({from: firstHead}) =>
    evenRanges(group, group).map(range => ({
      ...whole,
      ...{firstHead, heads: 1, firstMember: range.from, group: range.to - range.from},
    })),
  );
}

/** Tokens that a part has a multiple of: whole tiles, whole groups that share scales, whole blocks that are rounded alike. */
function unitOf({keys, values}: AttendSize): number {
  return [keys, values].map(unitOfSide).reduce(leastMultiple, 64);
}

function unitOfSide(layout: TokenLayout): number {
  if (layout.kind === 'lloydMax') return 1024; // `blockTokens` of ops/assembly/lloyd_max_attend.ts
  return layout.kind === 'integer' && layout.groupAxis === 'channel' ? layout.groupSize : 1;
}

function leastMultiple(a: number, b: number): number {
  let multiple = a;
  while (multiple % b !== 0) multiple += a;
  return multiple;
}
