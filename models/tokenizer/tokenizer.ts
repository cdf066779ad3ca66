import {InvalidArgumentError, ModelError} from '../../ops/errors.js';
import {checkSteps} from './check_steps.js';
import {type LibraryTokenizer, library} from './library.js';
import {type TokenizerJson, readAddedTokens, readVocabulary} from './tokenizer_json.js';
import {withLiteralContents, withUnicodeRules} from './unicode_rules.js';

/** Text to token ids and back. An object of plain functions: `{...tokenizer, eosIds}` is a tokenizer too. */
export interface Tokenizer {
  /** One more than the largest id. The model's may be larger: then the last ids are padding and have no text. */
  readonly vocabSize: number;
  readonly bosId?: number;
  /** Every token that ends a text: end of sequence, of turn, of message. */
  readonly eosIds: readonly number[];
  /** The tokenizer.json that makes this tokenizer again. Absent where it was made of something else. */
  readonly json?: TokenizerJson;
  /**
   * `addSpecial` (default true) adds what the model expects around a text, such as its first token. `parseSpecial`
   * (default true) gives special tokens written out in the text (`<|im_end|>`) their ids; false reads them as any other
   * text, as is right for text that is measured or comes from strangers.
   */
  encode(text: string, options?: {addSpecial?: boolean; parseSpecial?: boolean}): number[];
  /**
   * The inverse of `encode`. `skipSpecial` (default true) leaves special tokens out. Ids that no token has, such as those of
   * a padded vocabulary, give no text. Bytes that are not UTF-8 become U+FFFD; spaces before punctuation are left as they are.
   * @throws InvalidArgumentError for what is no id: a whole number from 0 to 2^31 - 1.
   */
  decode(ids: ArrayLike<number>, options?: {skipSpecial?: boolean}): string;
  /**
   * A token as the vocabulary spells it (`Ġthe`, `▁the`, `<0x0A>`).
   * @throws InvalidArgumentError for an id that no token has.
   */
  token(id: number): string;
  /**
   * Whether `decode` passes over this id, whatever stands beside it: it has no token, or a special one that is left out.
   * A tokenizer of your own may do without; then no id is passed over.
   */
  isSilent?(id: number, options?: {skipSpecial?: boolean}): boolean;
}

/** Ids that the source of a vocabulary knows and its JSON does not say. */
export interface SpecialIds {
  readonly bosId?: number | undefined;
  readonly eosIds: readonly number[];
}

/** A tokenizer over a checked tokenizer.json object, run by the library @huggingface/tokenizers. */
export function buildTokenizer(json: TokenizerJson, {bosId, eosIds}: SpecialIds): Tokenizer {
  checkSteps(json);
  const tokens = tokenTable(json);
  const tokenizer = startLibrary(json);
  let plain: LibraryTokenizer | undefined;
  const vocabSize = tokens.length;
  const specialIds = new Set(readAddedTokens(json).flatMap(({id, special}) => (special ? [id] : [])));
  return {
    vocabSize,
    ...(bosId !== undefined && {bosId}),
    eosIds,
    json,
    encode(text, {addSpecial = true, parseSpecial = true} = {}) {
      const encoder = parseSpecial ? tokenizer : (plain ??= startLibrary(withoutSpecial(json)));
      const {ids} = guarded(() => encoder.encode(text, {add_special_tokens: addSpecial}));
      return ids.map(id => {
        if (id !== undefined && tokens[id] !== undefined) return id;
        throw new ModelError(
          `The tokenizer has no token for a part of this text (${id === undefined ? 'and none for what is unknown' : `id ${id}`}); ` +
            'use another conversion of the model.',
        );
      });
    },
    decode(ids, {skipSpecial = true} = {}) {
      const known = Array.from(ids, checkId).filter(id => tokens[id] !== undefined);
      if (known.length === 0) return '';
      return guarded(() =>
        tokenizer.decode(known, {skip_special_tokens: skipSpecial, clean_up_tokenization_spaces: false}),
      );
    },
    token(id) {
      const token = tokens[checkId(id)];
      if (token !== undefined) return token;
      throw new InvalidArgumentError(
        `There is no token ${id}; the vocabulary has the ids 0 to ${vocabSize - 1}.`,
      );
    },
    isSilent: (id, {skipSpecial = true} = {}) =>
      tokens[checkId(id)] === undefined || (skipSpecial && specialIds.has(id)),
  };
}

/** Runs the library, whose own errors are of no type. */
function guarded<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelError(
      `The tokenizer fails: ${reason}. Give it a shorter text, or use another conversion of the model.`,
      {cause: error},
    );
  }
}

/** The same tokenizer finding no special tokens in a text. They stay in the vocabulary, for what is put around it. */
function withoutSpecial(json: TokenizerJson): TokenizerJson {
  const added = readAddedTokens(json);
  const special = Object.fromEntries(
    added.filter(token => token.special).map(({content, id}) => [content, id]),
  );
  const {vocab} = json.model;
  return {
    ...json,
    // a unigram vocabulary is a list, and holds its special tokens already
    model: Array.isArray(vocab) ? json.model : {...json.model, vocab: {...vocab, ...special}},
    added_tokens: json.added_tokens.filter((_, i) => !added[i]!.special),
  };
}

/** The token of every id; ids that no token has are holes. */
function tokenTable(json: TokenizerJson): readonly (string | undefined)[] {
  const tokens: (string | undefined)[] = [];
  for (const [token, id] of readVocabulary(json)) {
    if (tokens[id] !== undefined) {
      throw new ModelError(
        `The tokenizer gives the id ${id} to "${tokens[id]}" and to "${token}"; convert it again.`,
      );
    }
    tokens[id] = token;
  }
  for (const {content, id} of readAddedTokens(json)) tokens[id] = content;
  return tokens;
}

function checkId(id: number): number {
  if (Number.isInteger(id) && id >= 0 && id < 2 ** 31) return id;
  throw new InvalidArgumentError(`${String(id)} is no id of a token; give whole numbers from 0 on.`);
}

function startLibrary(json: TokenizerJson): LibraryTokenizer {
  let tokenizer: LibraryTokenizer;
  try {
    tokenizer = new library.Tokenizer(
      {
        ...json,
        normalizer: withLiteralContents(json.normalizer),
        pre_tokenizer: withLiteralContents(withUnicodeRules(json.pre_tokenizer)),
        decoder: withLiteralContents(json.decoder),
      },
      {clean_up_tokenization_spaces: false},
    );
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelError(`The tokenizer cannot be started: ${reason}.`, {cause: error});
  }
  keepByteOrderMarks(tokenizer);
  return tokenizer;
}

/** The library's byte fallback drops U+FEFF, as TextDecoder does unless told not to (0.2.0). */
function keepByteOrderMarks({decoder}: LibraryTokenizer): void {
  for (const step of decoder instanceof library.SequenceDecoder ? decoder.decoders : [decoder]) {
    if (step instanceof library.ByteFallbackDecoder)
      step.text_decoder = new TextDecoder('utf-8', {ignoreBOM: true});
  }
}
