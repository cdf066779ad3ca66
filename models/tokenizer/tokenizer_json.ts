import {FormatError, ModelError} from '../../ops/errors.js';

/** The parts of a tokenizer.json that are checked here; the library reads the rest. */
export interface TokenizerJson {
  readonly model: {readonly type?: unknown; readonly vocab: object; readonly merges?: unknown};
  readonly added_tokens: readonly unknown[];
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly post_processor: unknown;
  readonly decoder: unknown;
}

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

const modelTypes: readonly string[] = ['BPE', 'Unigram', 'WordPiece'];

/** Far above real vocabularies (the largest have some 260,000 tokens), far below what would exhaust memory. */
const maxVocabSize = 2 ** 24;

/** Characters of an added token, and of all of them less what they begin with alike: they become a tree. */
const maxAddedLength = 1024;
const maxAddedCharacters = 2 ** 16;

/**
 * An object read from a tokenizer.json, its absent steps filled with null.
 * @throws FormatError where it is not one, ModelError where merges name tokens that the vocabulary lacks.
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
  };
  if (json.model.type === 'BPE') checkMerges(value['model'], readVocabulary(json));
  readAddedTokens(json);
  return json;
}

/** Old files do not name the model; the library would take a BPE model without some keys for another kind. */
function modelType({type, vocab, merges}: Record<string, unknown>): string {
  if (type === undefined || type === null)
    return Array.isArray(vocab) ? 'Unigram' : merges ? 'BPE' : 'WordPiece';
  if (typeof type === 'string' && modelTypes.includes(type)) return type;
  throw new ModelError(
    `The tokenizer has a model of the type ${JSON.stringify(type)}; ${modelTypes.join(', ')} are known.`,
  );
}

/** Every token with its id, added tokens not included. */
export function readVocabulary({model}: TokenizerJson): ReadonlyMap<string, number> {
  // a unigram vocabulary is a list of [token, score], every other one an object
  const entries: [unknown, unknown][] = Array.isArray(model.vocab)
    ? model.vocab.map((entry, id) => [Array.isArray(entry) ? entry[0] : undefined, id])
    : Object.entries(model.vocab);
  const vocabulary = new Map<string, number>();
  for (const [token, id] of entries) {
    if (typeof token !== 'string' || !isId(id)) {
      throw new FormatError(
        `The tokenizer's vocabulary maps ${JSON.stringify(token)} to ${JSON.stringify(id)}.`,
      );
    }
    vocabulary.set(token, id);
  }
  if (vocabulary.size === 0) throw new FormatError('The vocabulary of the tokenizer is empty.');
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
    return {id: token['id'], content: token['content'], special: token['special'] === true};
  });
  const long = added.find(({content}) => content.length > maxAddedLength);
  const characters = charactersOfTree(added.map(({content}) => content).sort());
  if (long === undefined && characters <= maxAddedCharacters) return added;
  throw new ModelError(
    `The tokenizer's added tokens are too long: ${characters} different characters in all (at most ${maxAddedCharacters}), ` +
      `${long?.content.length ?? maxAddedLength} in one (at most ${maxAddedLength}).`,
  );
}

/** Nodes of a tree of sorted texts: the characters of each behind what it has in common with the one before. */
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

function checkMerges(model: Record<string, unknown>, vocabulary: ReadonlyMap<string, number>): void {
  const {merges} = model;
  if (!Array.isArray(merges)) throw new FormatError('The BPE model of the tokenizer has no list of merges.');
  // with affixes the merged token is spelled differently; then the parts alone are checked
  const plain = !model['continuing_subword_prefix'] && !model['end_of_word_suffix'];
  for (const merge of merges as unknown[]) {
    const parts: unknown[] = typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge : [];
    const [left, right] = parts;
    if (parts.length !== 2 || typeof left !== 'string' || typeof right !== 'string') {
      throw new FormatError(`The tokenizer has a merge that is not two tokens: ${JSON.stringify(merge)}.`);
    }
    for (const token of plain ? [left, right, left + right] : [left, right]) {
      if (vocabulary.has(token)) continue;
      throw new ModelError(
        `The tokenizer merges "${left}" with "${right}", but its vocabulary lacks "${token}".`,
      );
    }
  }
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < maxVocabSize;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isRecordOrList(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
