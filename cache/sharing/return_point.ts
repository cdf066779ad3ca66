import {CacheStateError} from '../../base/errors.js';
import {type KVCache, stateOf} from '../kv_cache.js';
import type {Past} from '../past/past.js';
import {releasePast, sharePast} from '../past/past_tensors.js';
import type {CacheState} from '../state.js';
import {truncate} from './truncate.js';

/**
 * Where a cache is now, to come back to from later tokens even if `truncate` could not: the pasts of those depths that lose tokens, because a
 * keeper evicts, a window leaves them out of sight, or factors are updated by later ones. Other depths are cut. It holds the tensors that the cache
 * replaces, so that it takes at most what these depths take now. `dispose` it.
 */
export class ReturnPoint {
  private constructor(
    private readonly signature: string,
    /** Of a whole step. */
    readonly tokens: number,
    /** By depth; undefined for those that are cut. */
    private readonly pasts: readonly (Past | undefined)[],
  ) {
    for (const past of pasts) if (past !== undefined) sharePast(past);
  }

  /** The point where a cache is; undefined if it holds nothing, or if no depth loses tokens. */
  static of(cache: KVCache): ReturnPoint | undefined {
    const state = stateOf(cache);
    if (cache.tokens === 0) return undefined;
    const pasts = state.pasts.map((past, depth) => (losesTokens(state, depth, past!) ? past : undefined));
    if (pasts.every(past => past === undefined)) return undefined;
    return new ReturnPoint(state.signature, cache.tokens, pasts);
  }

  /**
   * Brings a cache back to this point, which stays.
   * @throws CacheStateError if its plan has changed since, or if another depth cannot be cut; the cache is then unchanged.
   */
  async restore(cache: KVCache): Promise<void> {
    const state = stateOf(cache);
    state.leases.expectFree('going back');
    if (state.signature !== this.signature || cache.tokens < this.tokens) {
      throw new CacheStateError(
        'This cache has another plan, or fewer tokens, than where it should go back to.',
      );
    }
    await truncate(state, this.tokens, this.pasts);
  }

  dispose(): void {
    for (const past of this.pasts) if (past !== undefined) releasePast(past);
  }
}

function losesTokens({shapes, policies}: CacheState, depth: number, {extras = {}}: Past): boolean {
  const {keep, store} = policies[depth]!;
  const isRewritten = store.rewrites === true || Object.keys(extras).length > 0;
  return keep.budget !== undefined || shapes[depth]!.window !== undefined || isRewritten;
}
