import {FormatError, ModelError, shown} from '../../../base/errors.js';
import {type Fields, needBoolean} from '../steps/fields.js';
import {byteTokens, spell} from './byte_tokens.js';
import type {Lookup} from './lookup.js';
import {MergeTable, mergeAll} from './merging.js';

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
  readonly merges: MergeTable;
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

function readMerges(merges: unknown, vocabulary: ReadonlyMap<string, number>, prefix: string): MergeTable {
  const table = new MergeTable();
  const tokens: string[] = [];
  for (const [token, id] of vocabulary) tokens[id] = token;
  // what merges give mostly has rising ids: comparing takes a third of the time of joining two texts and looking them up
  let guess = -1;
  const resultOf = (left: string, right: string): number | undefined => {
    for (const id of [guess, guess + 1]) if (isJoined(tokens[id], left, right, prefix.length)) return id;
    return vocabulary.get(left + right.slice(prefix.length));
  };
  eachPair(merges, (left, right) => {
    if (!right.startsWith(prefix)) {
      throw new ModelError(
        `The tokenizer merges "${left}" with "${right}", which does not begin with "${prefix}".`,
      );
    }
    const [leftId, rightId, id] = [vocabulary.get(left), vocabulary.get(right), resultOf(left, right)];
    if (leftId === undefined || rightId === undefined || id === undefined) {
      const missing = [left, right, left + right.slice(prefix.length)].find(one => !vocabulary.has(one));
      throw new ModelError(
        `The tokenizer merges "${left}" with "${right}", but its vocabulary lacks "${missing}".`,
      );
    }
    guess = id;
    table.add(leftId, rightId, id);
  });
  return table;
}

/** Whether a token is `left` and then `right` without the `skipped` characters it begins with. */
function isJoined(token: string | undefined, left: string, right: string, skipped: number): boolean {
  if (token?.length !== left.length + right.length - skipped || !token.startsWith(left)) return false;
  return skipped === 0 ? token.endsWith(right) : token.endsWith(right.slice(skipped));
}

/** Calls `visit` with each pair of tokens of a model's `merges`, which come as texts or as lists. */
export function eachPair(merges: unknown, visit: (left: string, right: string) => void): void {
  if (!Array.isArray(merges)) throw new FormatError('The BPE model of the tokenizer has no list of merges.');
  for (const merge of merges as unknown[]) {
    if (typeof merge === 'string') {
      if (merge.startsWith('#version')) continue;
      const space = merge.indexOf(' ');
      if (space >= 0 && merge.indexOf(' ', space + 1) < 0) {
        visit(merge.slice(0, space), merge.slice(space + 1));
        continue;
      }
    } else if (Array.isArray(merge) && merge.length === 2) {
      const [left, right] = merge as unknown[];
      if (typeof left === 'string' && typeof right === 'string') {
        visit(left, right);
        continue;
      }
    }
    throw new FormatError(`The tokenizer has a merge that is not two tokens: ${JSON.stringify(merge)}.`);
  }
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
