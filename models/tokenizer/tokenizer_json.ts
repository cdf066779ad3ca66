import {FormatError, ModelError} from '../../base/errors.js';
import {isRecord} from '../../base/records.js';

/** The parts of a tokenizer.json. The content of its steps is read where they are built. */
export interface TokenizerJson {
  readonly model: Readonly<Record<string, unknown>> & {readonly vocab: object};
  readonly added_tokens: readonly unknown[];
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly post_processor: unknown;
  readonly decoder: unknown;
  readonly truncation: unknown;
  readonly padding: unknown;
}

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Looked for in the normalized text, spelled as it is there. */
  readonly normalized: boolean;
  readonly singleWord: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

const modelTypes: readonly string[] = ['BPE', 'Unigram', 'WordPiece', 'WordLevel'];

/** Far above real vocabularies (the largest have some 260,000 tokens), far below what would exhaust memory. */
const maxVocabSize = 2 ** 24;

/** Characters of an added token, and of all of them less what they begin with alike: they become a tree. */
const maxAddedLength = 1024;
const maxAddedCharacters = 2 ** 16;

/**
 * An object read from a tokenizer.json, its absent steps filled with null.
 * @throws FormatError if it is not one, ModelError if the type of its model is not known.
 */
export function checkTokenizerJson(value: unknown): TokenizerJson {
  if (!isRecord(value) || !isRecord(value['model']) || !isRecordOrList(value['model']['vocab'])) {
    throw new FormatError(
      'This is no tokenizer.json: it has no model with a vocab. Give the file of that name.',
    );
  }
  const {added_tokens: addedTokens = [], model} = value;
  if (!Array.isArray(addedTokens))
    throw new FormatError('The added_tokens of the tokenizer.json are not a list.');
  const json: TokenizerJson = {
    ...value,
    model: {...model, type: modelType(value['model']), vocab: value['model']['vocab']},
    added_tokens: addedTokens,
    normalizer: value['normalizer'] ?? null,
    pre_tokenizer: value['pre_tokenizer'] ?? null,
    post_processor: value['post_processor'] ?? null,
    decoder: value['decoder'] ?? null,
    truncation: value['truncation'] ?? null,
    padding: value['padding'] ?? null,
  };
  readAddedTokens(json);
  return json;
}

/** Old files do not name the model. */
function modelType({
  type,
  vocab,
  merges,
  continuing_subword_prefix: prefix,
}: Record<string, unknown>): string {
  if (type === undefined || type === null)
    return Array.isArray(vocab)
      ? 'Unigram'
      : merges
        ? 'BPE'
        : typeof prefix === 'string'
          ? 'WordPiece'
          : 'WordLevel';
  if (typeof type === 'string' && modelTypes.includes(type)) return type;
  throw new ModelError(
    `The tokenizer has a model of the type ${JSON.stringify(type)}; ${modelTypes.join(', ')} are known.`,
  );
}

/** Every token with its id, added tokens not included. */
export function readVocabulary({model}: TokenizerJson): ReadonlyMap<string, number> {
  const vocabulary = new Map<string, number>();
  const add = (token: unknown, id: unknown): void => {
    if (typeof token === 'string' && isId(id)) vocabulary.set(token, id);
    else {
      throw new FormatError(
        `The tokenizer's vocabulary maps ${JSON.stringify(token)} to ${JSON.stringify(id)}.`,
      );
    }
  };
  // a unigram vocabulary is a list of [token, score], every other one an object
  if (Array.isArray(model.vocab)) {
    model.vocab.forEach((entry, id) => add(Array.isArray(entry) ? entry[0] : undefined, id));
  } else {
    // twice as fast as Object.entries
    const ids = model.vocab as Readonly<Record<string, unknown>>;
    for (const token of Object.keys(ids)) add(token, ids[token]);
  }
  return vocabulary;
}

export function readAddedTokens(json: TokenizerJson): readonly AddedToken[] {
  const added = json.added_tokens.map(token => {
    if (
      !isRecord(token) ||
      !isId(token['id']) ||
      typeof token['content'] !== 'string' ||
      token['content'] === ''
    ) {
      throw new FormatError(
        `The tokenizer has an added token without content or id: ${JSON.stringify(token)}.`,
      );
    }
    const special = token['special'] === true;
    return {
      id: token['id'],
      content: token['content'],
      special,
      normalized: typeof token['normalized'] === 'boolean' ? token['normalized'] : !special,
      singleWord: token['single_word'] === true,
      lstrip: token['lstrip'] === true,
      rstrip: token['rstrip'] === true,
    };
  });
  checkAddedLengths(added.map(({content}) => content));
  return added;
}

/** @throws ModelError if the spellings of added tokens would fill the memory. */
export function checkAddedLengths(spellings: readonly string[]): void {
  const long = spellings.find(({length}) => length > maxAddedLength);
  const characters = charactersOfTree([...spellings].sort());
  if (long === undefined && characters <= maxAddedCharacters) return;
  throw new ModelError(
    `The tokenizer's added tokens are too long: ${characters} different characters in all (at most ${maxAddedCharacters}), ` +
      `${long?.length ?? maxAddedLength} in one (at most ${maxAddedLength}).`,
  );
}

/** The number of nodes of a prefix tree of sorted texts: for each text, the characters after the prefix that it shares with the one before. */
function charactersOfTree(sorted: readonly string[]): number {
  let nodes = 0;
  sorted.forEach((text, i) => {
    const before = sorted[i - 1] ?? '';
    let common = 0;
    while (common < text.length && text[common] === before[common]) common++;
    nodes += text.length - common;
  });
  return nodes;
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < maxVocabSize;
}

function isRecordOrList(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
