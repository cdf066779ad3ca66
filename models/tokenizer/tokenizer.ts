import {EigenkvError, FormatError, InvalidArgumentError, ModelError} from '../../base/errors.js';
import {isRecord} from '../../base/records.js';
import {type Warn, warnOnConsole} from '../../base/warn.js';
import {checkSteps} from './check_steps.js';
import {buildPipeline} from './pipeline.js';
import {type AddedToken, type TokenizerJson, readAddedTokens, readVocabulary} from './tokenizer_json.js';

/** Text to token ids and back. An object of plain functions: `{...tokenizer, eosIds}` is a tokenizer too. */
export interface Tokenizer {
  /** One more than the largest id. The model's may be larger: then the last ids are padding and have no text. */
  readonly vocabSize: number;
  readonly bosId?: number;
  /** Every token that ends a text: end of sequence, of turn, of message. */
  readonly eosIds: readonly number[];
  /** The tokenizer.json of this tokenizer. Absent if it was made from something else. */
  readonly json?: TokenizerJson;
  /**
   * `addSpecial` (default true) adds what the model expects around a text, such as its first token. `parseSpecial`
   * (default true) gives special tokens written out in the text (`<|im_end|>`) their ids; false reads them as any other
   * text, as is right for text that is measured or untrusted: no text becomes a special token then, except the
   * unknown one.
   */
  encode(text: string, options?: {addSpecial?: boolean; parseSpecial?: boolean}): number[];
  /**
   * The inverse of `encode`. `skipSpecial` (default true) leaves special tokens out. Ids that no token has, such as those of
   * a padded vocabulary, give no text. Bytes that are not UTF-8 become U+FFFD.
   * @throws InvalidArgumentError for what is no id: a whole number from 0 to 2^31 - 1.
   */
  decode(ids: ArrayLike<number>, options?: {skipSpecial?: boolean}): string;
  /**
   * A token as the vocabulary spells it (`Ġthe`, `▁the`, `<0x0A>`).
   * @throws InvalidArgumentError for an id that no token has.
   */
  token(id: number): string;
  /**
   * Whether `decode` skips this id, whatever its neighbours: it has no token, or a special one that is left out.
   * A tokenizer of your own may do without; then no id is passed over.
   */
  isSilent?(id: number, options?: {skipSpecial?: boolean}): boolean;
}

/** Ids that the source of a vocabulary knows and its JSON does not say. */
export interface SpecialIds {
  readonly bosId?: number | undefined;
  readonly eosIds: readonly number[];
}

/**
 * A tokenizer over a checked tokenizer.json object.
 * @param vocabulary what `readVocabulary` gives for it, if that was read before.
 */
export function buildTokenizer(
  json: TokenizerJson,
  {bosId, eosIds}: SpecialIds,
  warn: Warn = warnOnConsole,
  vocabulary = readVocabulary(json),
): Tokenizer {
  checkSteps(json);
  if (vocabulary.size === 0) throw new FormatError('The vocabulary of the tokenizer is empty.');
  const added = readAddedTokens(json);
  const tokens = tokenTable(json, vocabulary, added);
  const pipeline = guarded(() => buildPipeline(json, vocabulary, added, tokens, warn));
  const {before, after} = pipeline.frame;
  for (const id of [...before, ...after]) {
    if (tokens[id] !== undefined) continue;
    throw new ModelError(
      `The tokenizer puts the id ${id} around a text, which no token has; convert it again.`,
    );
  }
  warnOfLengths(json, warn);
  const vocabSize = tokens.length;
  return {
    vocabSize,
    bosId,
    eosIds,
    json,
    encode(text, {addSpecial = true, parseSpecial = true} = {}) {
      const ids = guarded(() => pipeline.encode(text, parseSpecial));
      return addSpecial ? [...before, ...ids, ...after] : ids;
    },
    decode(ids, {skipSpecial = true} = {}) {
      const known = Array.from(ids, checkId).filter(id => tokens[id] !== undefined);
      return known.length === 0 ? '' : guarded(() => pipeline.decode(known, skipSpecial));
    },
    token(id) {
      const token = tokens[checkId(id)];
      if (token !== undefined) return token;
      throw new InvalidArgumentError(
        `There is no token ${id}; the vocabulary has the ids 0 to ${vocabSize - 1}.`,
      );
    },
    isSilent: (id, {skipSpecial = true} = {}) =>
      tokens[checkId(id)] === undefined || (skipSpecial && pipeline.isSkipped(id)),
  };
}

/** Converts what JavaScript throws if a text exceeds the limits of strings or arrays to a typed error. */
function guarded<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof EigenkvError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelError(
      `The tokenizer fails: ${reason}. Give it a shorter text, or use another conversion of the model.`,
      {cause: error},
    );
  }
}

/** Files keep how a training run cut and padded its batches; a text that is encoded here stays whole, as in transformers. */
function warnOfLengths({truncation, padding}: TokenizerJson, warn: Warn): void {
  const pads =
    isRecord(padding) &&
    (padding['strategy'] !== 'BatchLongest' || typeof padding['pad_to_multiple_of'] === 'number');
  const ignored = [...(truncation === null ? [] : ['truncation']), ...(pads ? ['padding'] : [])];
  if (ignored.length === 0) return;
  warn(
    `tokenizer.json asks for ${ignored.join(' and ')} of every text. Texts are encoded whole all the same; ` +
      `set ${ignored.join(' and ')} to null in the file to be rid of this warning.`,
  );
}

/** The token of every id; ids that no token has are holes. */
function tokenTable(
  {model}: TokenizerJson,
  vocabulary: ReadonlyMap<string, number>,
  added: readonly AddedToken[],
): readonly (string | undefined)[] {
  const tokens: (string | undefined)[] = [];
  for (const [token, id] of vocabulary) {
    if (tokens[id] !== undefined) {
      throw new ModelError(
        `The tokenizer gives the id ${id} to "${tokens[id]}" and to "${token}"; convert it again.`,
      );
    }
    tokens[id] = token;
  }
  // a list may have a token twice; texts get the last one's id
  if (Array.isArray(model.vocab)) {
    for (const [id, entry] of model.vocab.entries()) if (Array.isArray(entry)) tokens[id] = String(entry[0]);
  }
  const addedIds = new Map<string, number>();
  const addedAt = new Map<number, string>();
  for (const {content, id} of added) {
    const known = vocabulary.get(content) ?? addedIds.get(content) ?? id;
    const other = addedAt.get(id) ?? content;
    if (known !== id || other !== content) {
      throw new ModelError(
        `The tokenizer gives the added token "${content}" the id ${id}, but ` +
          (known === id ? `"${other}" has it too` : `elsewhere ${known}`) +
          '; convert it again.',
      );
    }
    addedIds.set(content, id);
    addedAt.set(id, content);
    tokens[id] = content;
  }
  return tokens;
}

function checkId(id: number): number {
  if (Number.isInteger(id) && id >= 0 && id < 2 ** 31) return id;
  throw new InvalidArgumentError(`${String(id)} is not a token id; give whole numbers >= 0.`);
}
