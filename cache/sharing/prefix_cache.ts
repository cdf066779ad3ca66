import * as v from 'valibot';
import {Digest} from '../../base/digest.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {expectList} from './id_list.js';
import {type KVCache, stateOf} from '../kv_cache.js';
import type {CacheLease} from '../binding/lease.js';
import {atLeast, checkOptions} from '../../base/options.js';
import {tokensHeld} from '../past/past.js';

const schema = v.strictObject({
  maxBytes: v.optional(atLeast(1), 256 * 2 ** 20),
  chunkTokens: v.optional(atLeast(1), 256),
});

export interface PrefixCacheOptions {
  /** Limit of `byteSize` in bytes. Default 268,435,456 (256 MiB). */
  readonly maxBytes?: number;
  /** Prefixes are stored and found in multiples of this many tokens. Default 256. */
  readonly chunkTokens?: number;
}

/** A prefix of a text, and the cache after it. */
interface Entry {
  readonly ids: Int32Array;
  readonly cache: KVCache;
  readonly bytes: number;
  /** The hashes that lead to this entry. */
  readonly hashes: Set<string>;
}

/**
 * Stores computed prefixes of texts, so that a prompt which starts with one continues from there (as vLLM's automatic prefix caching;
 * Kwon et al., 2023, arXiv 2309.06180). A prefix is found by a chain of hashes, `h_i = hash(h_(i-1), tokens of chunk i)`, and its tokens
 * are compared before it is used. The least recently used prefix is evicted when `maxBytes` is exceeded.
 *
 *     const prefixes = new PrefixCache();
 *     for await (const text of generate(model, prompt, {prefixes})) ...
 *
 * A prefix is a `fork` of the cache, so nothing is copied until one of both changes. If all tokens are still exact, one fork serves every
 * shorter prefix of its text (by truncation). A policy that compresses or evicts needs one fork for each chunk. A prefix belongs to a
 * model and a plan. Call `clear()` before the model's weights change.
 */
export class PrefixCache {
  /** See `PrefixCacheOptions`. */
  readonly chunkTokens: number;
  private readonly maxBytes: number;
  private readonly byHash = new Map<string, Entry>();
  /** The least recently used entry first. */
  private readonly entries = new Set<Entry>();
  private readonly models = new WeakMap<object, number>();
  private modelCount = 0;

  constructor(options: PrefixCacheOptions = {}) {
    ({maxBytes: this.maxBytes, chunkTokens: this.chunkTokens} = checkOptions('PrefixCache', schema, options));
  }

  /** Bytes of all prefixes; tensors that prefixes share are counted for each. */
  get byteSize(): number {
    return [...this.entries].reduce((sum, {bytes}) => sum + bytes, 0);
  }

  /**
   * Fills an empty cache with the longest stored prefix of a text. The prefix never includes the last token, so that at least one remains
   * to be computed.
   *
   * @param step tokens of a prompt per forward pass. Only prefixes computed with the same step match, as compressed tokens depend on it.
   * @param lease the caller's lease of the cache, if it holds one.
   * @returns the number of tokens that need not be computed. The cache is unchanged after an error.
   * @throws InvalidArgumentError if it is no KVCache, or if `ids` is not a list of ids.
   */
  async resume(cache: KVCache, ids: readonly number[], step: number, lease?: CacheLease): Promise<number> {
    stateOf(cache);
    expectList(ids, 'ids');
    const chain = this.chainOf(cache, ids.slice(0, -1), step);
    for (let chunks = chain.length; chunks > 0; chunks--) {
      const tokens = chunks * this.chunkTokens;
      const entry = this.known(chain[chunks - 1]!, ids.slice(0, tokens));
      if (entry === undefined) continue;
      const state = entry.cache.fork();
      try {
        await state.truncate(tokens);
        if (lease === undefined) cache.continueFrom(state);
        else lease.run(() => cache.continueFrom(state));
      } finally {
        state.dispose();
      }
      return tokens;
    }
    return 0;
  }

  /**
   * Stores a fork of the cache as the prefix `ids`, unless it is known or larger than `maxBytes`.
   * @param ids the tokens in the cache, all of them. Only a whole number of chunks is found again.
   * @throws InvalidArgumentError if it is no KVCache, if `ids` is not a list of ids, or if the cache holds another number of tokens.
   */
  remember(cache: KVCache, ids: readonly number[], step: number): void {
    const {disposedNote} = stateOf(cache);
    expectList(ids, 'ids');
    if (ids.length !== cache.tokens) {
      throw new InvalidArgumentError(
        `PrefixCache.remember got ${ids.length} ids for a cache of ${cache.tokens} tokens; give the ids of all its tokens.${disposedNote}`,
      );
    }
    const chain = this.chainOf(cache, ids, step);
    const last = chain.at(-1);
    if (last === undefined || this.known(last, ids) !== undefined) return;
    const bytes = cache.byteSize;
    if (bytes > this.maxBytes) return;
    const hashes = new Set(isExact(cache) ? chain : [last]);
    const entry: Entry = {ids: Int32Array.from(ids), cache: cache.fork(), bytes, hashes};
    for (const hash of hashes) {
      this.forget(hash);
      this.byHash.set(hash, entry);
    }
    this.entries.add(entry);
    for (const oldest of this.entries) {
      if (this.byteSize <= this.maxBytes) break;
      for (const hash of oldest.hashes) this.forget(hash);
    }
  }

  /** Removes all prefixes and frees their tensors. */
  clear(): void {
    for (const hash of [...this.byHash.keys()]) this.forget(hash);
  }

  /** Returns the entry with that hash and exactly these tokens, and marks it as used last. */
  private known(hash: string, ids: readonly number[]): Entry | undefined {
    const entry = this.byHash.get(hash);
    if (entry === undefined || !ids.every((id, at) => id === entry.ids[at])) return undefined;
    this.entries.delete(entry);
    this.entries.add(entry);
    return entry;
  }

  /** Removes a hash, and frees its entry if no other hash leads to it. */
  private forget(hash: string): void {
    const entry = this.byHash.get(hash);
    if (entry === undefined) return;
    this.byHash.delete(hash);
    entry.hashes.delete(hash);
    if (entry.hashes.size > 0) return;
    this.entries.delete(entry);
    entry.cache.dispose();
  }

  /** The hash at the end of each whole chunk. */
  private chainOf(cache: KVCache, ids: readonly number[], step: number): string[] {
    const wrong = ids.findIndex(id => !Number.isInteger(id) || id < 0 || id >= 2 ** 31); // hashed as int32
    if (wrong >= 0) throw new InvalidArgumentError(`ids[${wrong}] = ${ids[wrong]} is not a token id.`);
    let hash = JSON.stringify([this.modelNumber(cache.model), cache.signature, step]);
    return Array.from({length: Math.floor(ids.length / this.chunkTokens)}, (_, chunk) => {
      const tokens = Int32Array.from(ids.slice(chunk * this.chunkTokens, (chunk + 1) * this.chunkTokens));
      hash = new Digest().take(hash).take(new Uint8Array(tokens.buffer)).hex;
      return hash;
    });
  }

  private modelNumber(model: object): number {
    const number = this.models.get(model) ?? ++this.modelCount;
    this.models.set(model, number);
    return number;
  }
}

/** Whether truncating this cache gives the same state as computing fewer tokens. */
function isExact(cache: KVCache): boolean {
  return cache.report().every(({depth}) => {
    const past = cache.past(depth);
    if (past === undefined) return false;
    const {held, recent, extras = {}} = past;
    const compressed = Object.keys(held).length + Object.keys(extras).length > 0;
    return !compressed && recent.scores === undefined && tokensHeld(past) === past.tokensSeen;
  });
}
