import {FormatError, ModelError, shown} from '../../../base/errors.js';
import {type Fields, needBoolean} from '../steps/fields.js';
import {byteTokens, spell} from './byte_tokens.js';
import type {Lookup} from './lookup.js';
import {type Merge, mergeAll, pairKey} from './merging.js';

/** Limits of the memo of pieces: longer ones, and more of them, are not kept. */
const maxKeptPieces = 10_000;
const maxKeptLength = 256;

/**
 * Byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909): of the pairs of neighbours in a part, the one that comes first in
 * the list of merges becomes one token, again and again.
 * @param leaveOut is called with each character that has no token, if there is no unknown token.
 * @throws FormatError if merges are not pairs, ModelError if the vocabulary lacks one of their tokens.
 */
export function bpeLookup(
  model: Fields,
  vocabulary: ReadonlyMap<string, number>,
  leaveOut: (character: string) => void,
): Lookup {
  const {continuing_subword_prefix: prefix, end_of_word_suffix: suffix, unk_token: unknown} = model;
  const options: BpeOptions = {
    vocabulary,
    merges: readMerges(model['merges'], vocabulary, textOr(prefix, '')),
    prefix: textOr(prefix, ''),
    suffix: textOr(suffix, ''),
    unknown: typeof unknown === 'string' ? unknown : undefined,
    fusesUnknown: needBoolean(model, 'fuse_unk', false),
    bytes: needBoolean(model, 'byte_fallback', false) ? byteTokens(vocabulary) : undefined,
    leaveOut,
  };
  const ignoresMerges = needBoolean(model, 'ignore_merges', false);
  refuseDropout(model['dropout']);
  const kept = new Map<string, readonly number[]>();
  return part => {
    const whole = ignoresMerges ? vocabulary.get(part) : undefined;
    if (whole !== undefined) return [whole];
    const known = kept.get(part);
    if (known !== undefined) return known;
    const ids = mergeAll(symbolsOf(part, options), options.merges);
    if (part.length <= maxKeptLength && kept.size < maxKeptPieces) kept.set(part, ids);
    return ids;
  };
}

interface BpeOptions {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly merges: ReadonlyMap<number, Merge>;
  /** Written before every character but the first, and after the last. */
  readonly prefix: string;
  readonly suffix: string;
  readonly unknown: string | undefined;
  readonly fusesUnknown: boolean;
  readonly bytes: ReadonlyMap<number, number> | undefined;
  readonly leaveOut: (character: string) => void;
}

function textOr(value: unknown, fallback: string): string {
  return typeof value === 'string' ? value : fallback;
}

function refuseDropout(dropout: unknown): void {
  if (dropout === undefined || dropout === null || dropout === 0) return;
  throw new ModelError(
    `The tokenizer leaves merges out at random (dropout ${shown(dropout)}), as in training; set dropout to null in tokenizer.json.`,
  );
}

function readMerges(
  merges: unknown,
  vocabulary: ReadonlyMap<string, number>,
  prefix: string,
): ReadonlyMap<number, Merge> {
  const out = new Map<number, Merge>();
  let rank = 0;
  for (const [left, right] of pairsOf(merges)) {
    if (!right.startsWith(prefix)) {
      throw new ModelError(
        `The tokenizer merges "${left}" with "${right}", which does not begin with "${prefix}".`,
      );
    }
    const token = left + right.slice(prefix.length);
    const [leftId, rightId, id] = [vocabulary.get(left), vocabulary.get(right), vocabulary.get(token)];
    if (leftId === undefined || rightId === undefined || id === undefined) {
      const missing = [left, right, token].find(one => !vocabulary.has(one));
      throw new ModelError(
        `The tokenizer merges "${left}" with "${right}", but its vocabulary lacks "${missing}".`,
      );
    }
    out.set(pairKey(leftId, rightId), {rank: rank++, id});
  }
  return out;
}

/** The pairs of tokens of a model's `merges`, which come as texts or as lists. */
export function pairsOf(merges: unknown): (readonly [string, string])[] {
  if (!Array.isArray(merges)) throw new FormatError('The BPE model of the tokenizer has no list of merges.');
  const isPair = (merge: unknown) => typeof merge !== 'string' || !merge.startsWith('#version');
  return (merges as unknown[]).filter(isPair).map(pairOf);
}

function pairOf(merge: unknown): readonly [string, string] {
  const parts: readonly unknown[] =
    typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
  const [left, right] = parts;
  if (parts.length === 2 && typeof left === 'string' && typeof right === 'string') return [left, right];
  throw new FormatError(`The tokenizer has a merge that is not two tokens: ${JSON.stringify(merge)}.`);
}

/** A token for each character, or for each of its bytes, or the unknown one. */
function symbolsOf(
  part: string,
  {vocabulary, prefix, suffix, unknown, fusesUnknown, bytes, leaveOut}: BpeOptions,
): number[] {
  const symbols: number[] = [];
  const unknownId = unknown === undefined ? undefined : vocabulary.get(unknown);
  // an unknown token waits until the next known one, as in Rust: byte tokens go before it
  let waiting = false;
  const flush = (): void => {
    if (waiting) symbols.push(unknownId!);
    waiting = false;
  };
  let at = 0;
  for (const character of part) {
    const written =
      (at === 0 ? '' : prefix) + character + (at + character.length === part.length ? suffix : '');
    at += character.length;
    const id = vocabulary.get(written);
    if (id !== undefined) {
      flush();
      symbols.push(id);
      continue;
    }
    const spelled = bytes && spell(written, bytes);
    if (spelled !== undefined) symbols.push(...spelled);
    else if (unknown !== undefined) {
      if (unknownId === undefined)
        throw new ModelError(`The tokenizer has no token "${unknown}" for what is unknown.`);
      if (!fusesUnknown) flush();
      waiting = true;
    } else leaveOut(character);
  }
  flush();
  return symbols;
}
