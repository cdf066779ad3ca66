import {ModelError} from '../../base/errors.js';
import type {Warn} from '../../base/warn.js';
import {type AddedTokenFinder, addedTokenFinder} from './added_tokens.js';
import {bpeLookup} from './lookup/bpe.js';
import type {Lookup} from './lookup/lookup.js';
import {type LookupSource, withoutSpecial} from './lookup/without_special.js';
import {unigramLookup} from './lookup/unigram.js';
import {wordLevelLookup, wordPieceLookup} from './lookup/words.js';
import {readDecoder} from './steps/decoders.js';
import {readNormalizer} from './steps/normalizers.js';
import {type Frame, readPostProcessor} from './steps/post_processors.js';
import type {Step} from './steps/part.js';
import {readPreTokenizer} from './steps/pre_tokenizers.js';
import {type AddedToken, type TokenizerJson, checkAddedLengths} from './tokenizer_json.js';

/** The steps of a tokenizer.json, as the library `tokenizers` of Python runs them. */
export interface Pipeline {
  /** What the post-processor puts around each text. */
  readonly frame: Frame;
  /** @param parseSpecial whether special tokens written out in the text are found. */
  encode(text: string, parseSpecial: boolean): number[];
  decode(ids: readonly number[], skipSpecial: boolean): string;
  /** Whether `decode` leaves this id out when it skips special tokens. */
  isSkipped(id: number): boolean;
}

/**
 * @param tokens the token of every id.
 * @param warn is called once, if a text has characters without a token.
 * @throws FormatError, ModelError if a step is not known, or lacks what it needs.
 */
export function buildPipeline(
  json: TokenizerJson,
  vocabulary: ReadonlyMap<string, number>,
  added: readonly AddedToken[],
  tokens: readonly (string | undefined)[],
  warn: Warn,
): Pipeline {
  const normalize = readNormalizer(json.normalizer);
  const preTokenize = readPreTokenizer(json.pre_tokenizer);
  const special = new Set(added.filter(token => token.special).map(({content}) => content));
  const source: LookupSource = {model: json.model, vocabulary};
  const leaveOut = warnOnce(warn);
  const lookup = readLookup(source, leaveOut);
  const plainLookup = withoutSpecial(lookup, source, special, plain => readLookup(plain, leaveOut));
  const decoder = readDecoder(json.decoder);
  const normalized = normalizedSpellings(added, normalize);
  const findAsWritten = finder(added, token => (token.normalized ? undefined : token.content));
  const findNormalized = finder(added, token => normalized.get(token.id));
  const decoded = (id: number): string => normalized.get(id) ?? tokens[id]!;
  const isSkipped = (id: number): boolean => special.has(decoded(id));
  return {
    frame: readPostProcessor(json.post_processor),
    encode(text, parseSpecial) {
      const ids: number[] = [];
      const whole = wellFormed(text);
      const first = (whole.codePointAt(0) ?? 0) > 0xffff ? 2 : 1;
      for (const outer of findAsWritten({text: whole, first}, parseSpecial)) {
        for (const section of 'id' in outer ? [outer] : findNormalized(normalize(outer), parseSpecial)) {
          if ('id' in section) ids.push(section.id);
          else if (section.text !== '') {
            const idsOf = parseSpecial ? lookup : plainLookup;
            for (const part of preTokenize(section)) for (const id of idsOf(part.text)) ids.push(id);
          }
        }
      }
      return ids;
    },
    decode(ids, skipSpecial) {
      const kept = skipSpecial ? ids.filter(id => !isSkipped(id)) : ids;
      return decoder(kept.map(decoded)).join('');
    },
    isSkipped,
  };
}

function readLookup({model, vocabulary}: LookupSource, leaveOut: (character: string) => void): Lookup {
  switch (model['type']) {
    case 'BPE':
      return bpeLookup(model, vocabulary, leaveOut);
    case 'Unigram':
      return unigramLookup(model, vocabulary);
    case 'WordPiece':
      return wordPieceLookup(model, vocabulary);
    case 'WordLevel':
      return wordLevelLookup(model, vocabulary);
    default:
      throw new ModelError(`The tokenizer has a model of the type ${JSON.stringify(model['type'])}.`);
  }
}

/** Python's library drops characters without a token silently. */
function warnOnce(warn: Warn): (character: string) => void {
  let warned = false;
  return character => {
    if (warned) return;
    warned = true;
    warn(
      `The tokenizer has no token for "${character}" and none for what is unknown (unk_token): such characters ` +
        'are left out of every text.',
    );
  };
}

/** How added tokens that are looked for in normalized text are spelled there, by id; they are decoded so, too. */
function normalizedSpellings(added: readonly AddedToken[], normalize: Step): ReadonlyMap<number, string> {
  const spellings = new Map<number, string>();
  for (const {id, content, normalized} of added) {
    if (!normalized) continue;
    const spelling = normalize({text: content, first: 0}).text;
    checkAddedLengths([spelling]);
    spellings.set(id, spelling);
  }
  checkAddedLengths([...spellings.values()]);
  return spellings;
}

function finder(
  added: readonly AddedToken[],
  spelling: (token: AddedToken) => string | undefined,
): AddedTokenFinder {
  return addedTokenFinder(
    added.flatMap(token => {
      const text = spelling(token);
      return text === undefined ? [] : [[text, token] as const];
    }),
  );
}

/** Halves of surrogate pairs are no characters. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}
