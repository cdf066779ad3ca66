import * as v from 'valibot';
import {Digest} from '../../base/digest.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {expectList} from './id_list.js';
import type {KVCache} from '../kv_cache.js';
import type {CacheLease} from '../binding/lease.js';
import {atLeast, checkOptions} from '../../base/options.js';
import {tokensHeld} from '../past/past.js';

const schema = v.strictObject({
  maxBytes: v.optional(atLeast(1), 256 * 2 ** 20),
  chunkTokens: v.optional(atLeast(1), 256),
});

export interface PrefixCacheOptions {
  /** What all beginnings together may take, as if none shared a tensor with another. Default 256 MiB. */
  readonly maxBytes?: number;
  /** Beginnings are kept, and found again, at multiples of so many tokens. Default 256. */
  readonly chunkTokens?: number;
}

/** A beginning of a text, and the state of a cache that took it in. */
interface Entry {
  readonly ids: Int32Array;
  readonly cache: KVCache;
  readonly bytes: number;
  /** The hashes that it is found by. */
  readonly hashes: Set<string>;
}

/**
 * Beginnings of texts that were computed: a prompt that starts with one goes on from there (as vLLM's automatic prefix
 * caching does; Kwon et al., 2023, arXiv 2309.06180). A beginning is known by a chain of hashes, `h_i = hash(h_(i-1), tokens
 * of chunk i)`, and its tokens are compared before it is used. What was used least recently goes when `maxBytes` are full.
 *
 *     const prefixes = new PrefixCache();
 *     for await (const text of generate(model, prompt, {prefixes})) ...
 *
 * A state is a `fork` of the cache: nothing is copied as long as both go the same way. Where all tokens are still exact, one
 * state serves every beginning of its text (it is truncated); a policy that compresses or evicts has one state for each
 * chunk. A state belongs to a model and a plan. Do not train the model meanwhile: `clear()` first.
 */
export class PrefixCache {
  readonly chunkTokens: number;
  private readonly maxBytes: number;
  private readonly byHash = new Map<string, Entry>();
  /** The least recently used one first. */
  private readonly entries = new Set<Entry>();
  private readonly models = new WeakMap<object, number>();
  private modelCount = 0;

  constructor(options: PrefixCacheOptions = {}) {
    ({maxBytes: this.maxBytes, chunkTokens: this.chunkTokens} = checkOptions('PrefixCache', schema, options));
  }

  /** Bytes of all beginnings, as if none shared a tensor with another. */
  get byteSize(): number {
    return [...this.entries].reduce((sum, {bytes}) => sum + bytes, 0);
  }

  /**
   * Puts the longest known beginning of a text into a cache that holds nothing, but never all of the text: its last token
   * is left to be computed.
   *
   * @param step tokens of a prompt that are computed at once: where tokens are compressed, the state depends on it.
   * @param lease of the cache, where the caller holds one.
   * @returns tokens that need not be computed; where it throws, the cache is as before.
   */
  async resume(cache: KVCache, ids: readonly number[], step: number, lease?: CacheLease): Promise<number> {
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
   * Keeps what a cache holds as the state behind `ids`: a whole number of chunks, and all that came into the cache.
   * @throws InvalidArgumentError where they are not as many, or no ids.
   */
  remember(cache: KVCache, ids: readonly number[], step: number): void {
    expectList(ids, 'ids');
    if (ids.length !== cache.tokens) {
      throw new InvalidArgumentError(
        `PrefixCache.remember got ${ids.length} ids for a cache of ${cache.tokens} tokens; give the ids of all that came into it.`,
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

  /** Forgets all beginnings, and frees what they hold. */
  clear(): void {
    for (const hash of [...this.byHash.keys()]) this.forget(hash);
  }

  /** The entry of that hash and those very tokens, which is now the one used last. */
  private known(hash: string, ids: readonly number[]): Entry | undefined {
    const entry = this.byHash.get(hash);
    if (entry === undefined || !ids.every((id, at) => id === entry.ids[at])) return undefined;
    this.entries.delete(entry);
    this.entries.add(entry);
    return entry;
  }

  /** An entry that no hash leads to any more is freed. */
  private forget(hash: string): void {
    const entry = this.byHash.get(hash);
    if (entry === undefined) return;
    this.byHash.delete(hash);
    entry.hashes.delete(hash);
    if (entry.hashes.size > 0) return;
    this.entries.delete(entry);
    entry.cache.dispose();
  }

  /** The hash behind each whole chunk. */
  private chainOf(cache: KVCache, ids: readonly number[], step: number): string[] {
    const wrong = ids.findIndex(id => !Number.isInteger(id) || id < 0 || id >= 2 ** 31); // the hash is of int32
    if (wrong >= 0) throw new InvalidArgumentError(`ids[${wrong}] = ${ids[wrong]} is no id of a token.`);
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

/** Whether a cache of fewer of its tokens would be the same state, cut. */
function isExact(cache: KVCache): boolean {
  return cache.report().every(({depth}) => {
    const past = cache.past(depth);
    if (past === undefined) return false;
    const {held, recent, extras = {}} = past;
    const compressed = Object.keys(held).length + Object.keys(extras).length > 0;
    return !compressed && recent.scores === undefined && tokensHeld(past) === past.tokensSeen;
  });
}
