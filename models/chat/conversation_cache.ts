import {CacheStateError} from '../../base/errors.js';
import type {KVCache} from '../../cache/kv_cache.js';
import {ReturnPoint} from '../../cache/sharing/return_point.js';
import {type HeldIds, commonPrefix, firstHeld, nothingHeld} from './held_ids.js';

/** How much of a prompt was in the cache. */
export interface Cut {
  readonly reused: number;
  /** Why nothing was, if the cache could not be cut back. */
  readonly restarted?: string;
}

/** The cache of a chat, with the text and ids that it holds, and the way back to before the newest question. */
export class ConversationCache {
  #held: HeldIds;
  /** Before the newest question, if the cache may not be cut back to there. */
  #point: {readonly at: ReturnPoint; readonly held: HeldIds} | undefined;

  constructor(
    readonly cache: KVCache,
    held: HeldIds = nothingHeld,
  ) {
    this.#held = held;
  }

  get held(): HeldIds {
    return this.#held;
  }

  /**
   * Cuts the cache back to what it has in common with the ids of a prompt, of which at least one is left to compute.
   *
   * @param isFurther whether the prompt asks a further question, not the newest one in another form or once more.
   */
  async cutBackTo(ids: readonly number[], isFurther: boolean): Promise<Cut> {
    const before = this.cache.tokens;
    const cut = await this.#cutBack(ids);
    this.#setPoint(ids, isFurther || cut.reused === before);
    return cut;
  }

  /** What was computed since; of it what the cache has taken in. */
  hold(held: HeldIds): void {
    this.#held = firstHeld(held, this.cache.tokens);
  }

  /** Empties the cache. */
  forget(): void {
    this.cache.reset();
    this.#held = nothingHeld;
    this.#leavePoint();
  }

  dispose(): void {
    this.cache.dispose();
    this.#held = nothingHeld;
    this.#leavePoint();
  }

  async #cutBack(ids: readonly number[]): Promise<Cut> {
    const {cache} = this;
    if (cache.tokens !== this.#held.ids.length) this.forget(); // its tokens were changed from outside
    const reused = Math.min(commonPrefix(ids, this.#held.ids), ids.length - 1);
    if (reused === cache.tokens) return {reused};
    try {
      await cache.truncate(reused);
    } catch (error) {
      if (!(error instanceof CacheStateError)) throw error;
      if (await this.#goBack(ids)) return {reused: cache.tokens};
      this.forget();
      return {reused: 0, restarted: error.message};
    }
    this.#held = firstHeld(this.#held, reused);
    return {reused};
  }

  /** Goes back to before the newest question, if a prompt begins with what was there. */
  async #goBack(ids: readonly number[]): Promise<boolean> {
    const point = this.#point;
    if (point === undefined || !isBeginning(point.held.ids, ids)) return false;
    try {
      await point.at.restore(this.cache);
    } catch (error) {
      if (error instanceof CacheStateError) return false;
      throw error;
    }
    this.#held = point.held;
    return true;
  }

  /** The point stays while the newest question is edited or answered anew; with a further one it moves on. */
  #setPoint(ids: readonly number[], goesOn: boolean): void {
    if (!goesOn && this.#point !== undefined && isBeginning(this.#point.held.ids, ids)) return;
    this.#leavePoint();
    const at = ReturnPoint.of(this.cache);
    this.#point = at && {at, held: this.#held};
  }

  #leavePoint(): void {
    this.#point?.at.dispose();
    this.#point = undefined;
  }
}

/** Whether a list goes on from another. */
const isBeginning = (some: readonly number[], all: readonly number[]): boolean =>
  some.length < all.length && commonPrefix(some, all) === some.length;
