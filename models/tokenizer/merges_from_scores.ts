import {ModelError} from '../../base/errors.js';
import {type GgufVocabulary, tokenType} from './gguf_vocabulary.js';

/**
 * SentencePiece joins the neighbours whose union has the highest score. As merges: every way to cut a token in two
 * tokens, ordered by the token's score, then by the ids of its parts (as `SpmConverter` of transformers orders them).
 */
export function mergesFromScores({
  tokens,
  types,
  scores,
}: Pick<GgufVocabulary, 'tokens' | 'types' | 'scores'>): (readonly [left: string, right: string])[] {
  if (scores === undefined) {
    throw new ModelError(
      'The GGUF file has a SentencePiece vocabulary without scores (tokenizer.ggml.scores).',
    );
  }
  const ids: number[] = [];
  tokens.forEach((_, id) => {
    if (types[id] === tokenType.normal || types[id] === tokenType.userDefined) ids.push(id);
  });
  ids.sort((a, b) => scores[b]! - scores[a]!); // mostly they are sorted
  const beginnings = new AffixTable(tokens, ids, true);
  const ends = new AffixTable(tokens, ids, false);
  const merges: (readonly [string, string])[] = [];
  /** The cuts of tokens with one score, each a pair of ids as one number. */
  let cuts: number[] = [];
  for (const [i, id] of ids.entries()) {
    const size = tokens[id]!.length;
    const lefts = beginnings.find(tokens[id]!);
    const rights = ends.find(tokens[id]!, lefts);
    for (let length = 1; length < size; length++) {
      const [left, right] = [lefts[length]! - 1, rights[size - length]! - 1];
      if (left >= 0 && right >= 0) cuts.push(left * 2 ** 24 + right);
    }
    if (i + 1 < ids.length && scores[ids[i + 1]!] === scores[id]) continue;
    if (cuts.length > 1) cuts.sort((a, b) => a - b);
    for (const cut of cuts) merges.push([tokens[Math.floor(cut / 2 ** 24)]!, tokens[cut % 2 ** 24]!]);
    cuts = [];
  }
  return merges;
}

/**
 * Finds the tokens that a longer one begins with, or ends with: a hash table with open addressing over the code units, so that no part of
 * a token becomes a text of its own. Large vocabularies have more than a million parts.
 */
class AffixTable {
  /** One more than the id of the token that lies there, 0 for none. */
  private readonly slots: Int32Array;
  /** Of the token that lies there. */
  private readonly hashes: Int32Array;
  private readonly found: Int32Array;
  // secret, so that no file can be made whose tokens all fall into one place
  private readonly seed = Math.floor(Math.random() * 2 ** 32);

  constructor(
    private readonly tokens: readonly string[],
    ids: readonly number[],
    private readonly fromStart: boolean,
  ) {
    this.slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * ids.length + 2)));
    this.hashes = new Int32Array(this.slots.length);
    let longest = 0;
    for (const id of ids) {
      const token = tokens[id]!;
      longest = Math.max(longest, token.length);
      let hash = this.seed;
      for (let length = 1; length <= token.length; length++) hash = this.step(hash, token, length);
      let at = this.slotOf(hash);
      while (this.slots[at] !== 0) at = (at + 1) & (this.slots.length - 1);
      this.slots[at] = id + 1;
      this.hashes[at] = hash;
    }
    this.found = new Int32Array(longest);
  }

  /**
   * By length, one more than the id of the token that is so much of `token`, 0 for none. The next call writes into the same list.
   * @param others what is looked for only where this list has the rest of the token.
   */
  find(token: string, others?: Int32Array): Int32Array {
    const {slots, hashes, tokens, fromStart, found} = this;
    const mask = slots.length - 1;
    let hash = this.seed;
    for (let length = 1; length < token.length; length++) {
      hash = this.step(hash, token, length);
      found[length] = 0;
      if (others?.[token.length - length] === 0) continue;
      for (let at = this.slotOf(hash); slots[at] !== 0; at = (at + 1) & mask) {
        if (hashes[at] !== hash) continue;
        const other = tokens[slots[at]! - 1]!;
        if (other.length !== length || !(fromStart ? token.startsWith(other) : token.endsWith(other)))
          continue;
        found[length] = slots[at]!;
        break;
      }
    }
    return found;
  }

  /** The hash of one code unit more, the `length`-th from the start or from the end. */
  private step(hash: number, token: string, length: number): number {
    const code = token.charCodeAt(this.fromStart ? length - 1 : token.length - length);
    const bits = Math.imul(hash ^ code, 0x9e3779b1);
    return bits ^ (bits >>> 15);
  }

  private slotOf(hash: number): number {
    return (Math.imul(hash, 0x85ebca6b) >>> 7) & (this.slots.length - 1);
  }
}
