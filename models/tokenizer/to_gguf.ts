import {type GgufValue, uint32} from '../../base/files/write_gguf_metadata.js';
import {isEndToken} from './end_tokens.js';
import {ggufSteps, notInGguf} from './gguf_steps.js';
import {prefix, tokenType} from './gguf_vocabulary.js';
import {mergesFromScores} from './merges_from_scores.js';
import type {Tokenizer} from './tokenizer.js';
import {type AddedToken, type TokenizerJson, readAddedTokens, readVocabulary} from './tokenizer_json.js';

/**
 * The vocabulary of a GGUF file (`tokenizer.ggml.*`) that `tokenizerFromGguf` and llama.cpp read as this tokenizer: byte-level BPE
 * whose splitting has a name there, or SentencePiece BPE. Ids without a token are `[PAD...]` of the type "unused".
 *
 * @param vocabSize rows of the model's embedding, as many as the file must have tokens.
 * @throws ModelError if the format cannot say exactly what this tokenizer does, with the reason.
 */
export function tokenizerToGguf(tokenizer: Tokenizer, vocabSize: number): Map<string, GgufValue> {
  const {json, bosId} = tokenizer;
  if (json === undefined) throw notInGguf('it was not made from a vocabulary file');
  if (tokenizer.vocabSize > vocabSize) {
    throw notInGguf(`it has ${tokenizer.vocabSize} tokens, more than the ${vocabSize} that its model knows`);
  }
  const vocabulary = readVocabulary(json);
  const steps = ggufSteps(json, vocabulary);
  const {tokens, types} = tokenList(json, vocabulary, tokenizer.eosIds, vocabSize);
  const unknownId = vocabulary.get(String(json.model['unk_token']));
  const merges = mergesOf(json);
  const isSentencePiece = steps.model === 'llama';
  return new Map<string, GgufValue>([
    [`${prefix}model`, steps.model],
    ...(isSentencePiece ? [] : [[`${prefix}pre`, steps.pre] as const]),
    [`${prefix}tokens`, tokens],
    ...(isSentencePiece ? [[`${prefix}scores`, scoresOf(tokens, types, merges)] as const] : []),
    [`${prefix}token_type`, types],
    ...(isSentencePiece ? [] : [[`${prefix}merges`, merges.map(merge => merge.join(' '))] as const]),
    ...(bosId === undefined ? [] : [[`${prefix}bos_token_id`, uint32(bosId)] as const]),
    ...endIds(tokens, tokenizer.eosIds),
    ...(unknownId === undefined ? [] : [[`${prefix}unknown_token_id`, uint32(unknownId)] as const]),
    ...frameOf(tokenizer),
    ...(isSentencePiece ? [[`${prefix}add_space_prefix`, steps.addSpacePrefix] as const] : []),
  ]);
}

function tokenList(
  json: TokenizerJson,
  vocabulary: ReadonlyMap<string, number>,
  eosIds: readonly number[],
  vocabSize: number,
): {tokens: string[]; types: Int32Array} {
  const unknown = json.model['unk_token'];
  const hasByteTokens = json.model['byte_fallback'] === true;
  const tokens = Array.from({length: vocabSize}, (_, id) => `[PAD${id}]`);
  const types = new Int32Array(vocabSize).fill(tokenType.unused);
  for (const [token, id] of vocabulary) {
    tokens[id] = token;
    types[id] = hasByteTokens && /^<0x[0-9A-F]{2}>$/.test(token) ? tokenType.byte : tokenType.normal;
  }
  for (const token of readAddedTokens(json)) {
    checkAdded(token, json.normalizer);
    const {id, content, special} = token;
    tokens[id] = content;
    if (special) types[id] = content === unknown ? tokenType.unknown : tokenType.control;
    else types[id] = tokenType.userDefined;
  }
  for (const id of eosIds) if (types[id] === tokenType.unused) types[id] = tokenType.control; // padding that ends texts
  checkTypes(tokens, types, hasByteTokens);
  return {tokens, types};
}

function checkAdded(
  {content, lstrip, rstrip, singleWord, normalized}: AddedToken,
  normalizer: unknown,
): void {
  const option = lstrip ? 'lstrip' : rstrip ? 'rstrip' : singleWord ? 'single_word' : undefined;
  if (option !== undefined) throw notInGguf(`its token "${content}" has ${option}`);
  if (normalized && normalizer !== null) {
    throw notInGguf(`its token "${content}" is looked for in the normalized text`);
  }
}

/** What readers of GGUF conclude from the spelling of tokens and from their number. */
function checkTypes(tokens: readonly string[], types: Int32Array, hasByteTokens: boolean): void {
  if (new Set(tokens).size !== tokens.length)
    throw notInGguf('it has a token that is called [PAD...], as padding is there');
  const end = tokens.find((token, id) => isEndToken(token) && types[id] !== tokenType.control);
  if (end !== undefined) {
    throw notInGguf(`its token "${end}" is not special, but readers of GGUF take it for an end of texts`);
  }
  const bytes = types.filter(type => type === tokenType.byte).length;
  if (hasByteTokens && bytes !== 256) throw notInGguf(`it has ${bytes} of 256 byte tokens`);
}

function mergesOf({model}: TokenizerJson): string[][] {
  const merges = Array.isArray(model['merges']) ? (model['merges'] as unknown[]) : [];
  return merges.map(merge => {
    const parts =
      typeof merge === 'string' ? merge.split(' ') : Array.isArray(merge) ? merge.map(String) : [];
    if (parts.length === 2 && parts.every(part => part !== '' && !part.includes(' '))) return parts;
    throw notInGguf(`its merge ${JSON.stringify(merge)} is not two tokens without spaces`);
  });
}

/**
 * Scores whose order is that of the merges: the tokens of earlier merges have higher ones. Tokens whose merges lie among each other share
 * one. Of merges with equal scores SentencePiece takes the leftmost, so their order is not compared: converters differ in it.
 * @throws ModelError if SentencePiece would merge other pairs.
 */
function scoresOf(tokens: readonly string[], types: Int32Array, merges: readonly string[][]): Float32Array {
  const last = new Map<string, number>();
  merges.forEach((merge, i) => last.set(merge.join(''), i));
  const rank = new Map<string, number>();
  let [score, end] = [0, -1];
  merges.forEach((merge, i) => {
    const token = merge.join('');
    if (i > end) score--;
    end = Math.max(end, last.get(token)!);
    rank.set(token, score);
  });
  const scores = Float32Array.from(tokens, token => rank.get(token) ?? 0);
  const given = new Set(merges.map(merge => merge.join(' ')));
  const other = mergesFromScores({tokens, types, scores}).find(merge => !given.delete(merge.join(' ')));
  if (other !== undefined) {
    throw notInGguf(`SentencePiece would merge "${other.join('" and "')}", which it does not`);
  }
  const [more] = given;
  if (more !== undefined) throw notInGguf(`SentencePiece would not merge "${more.replace(' ', '" and "')}"`);
  return scores;
}

/** The ends that are not found by their spelling. The first is what chat templates and llama.cpp call the end. */
function* endIds(
  tokens: readonly string[],
  eosIds: readonly number[],
): Generator<readonly [string, GgufValue]> {
  const unnamed = tokens.findIndex((token, id) => isEndToken(token) && !eosIds.includes(id));
  if (unnamed >= 0) {
    throw notInGguf(`"${tokens[unnamed]!}" is not one of its ends, but readers of GGUF take it for one`);
  }
  const [first, ...others] = eosIds;
  if (first === undefined) return;
  const unspelled = others.filter(id => !isEndToken(tokens[id] ?? ''));
  if (unspelled.length > 2) throw notInGguf(`texts have ${eosIds.length} ends, more than it can name`);
  yield [`${prefix}eos_token_id`, uint32(first)];
  for (const [i, id] of unspelled.entries()) {
    yield [`${prefix}${['eot', 'eom'][i]!}_token_id`, uint32(id)];
  }
}

/** What stands around each text: the first token and the first end, each or neither. */
function frameOf({encode, bosId, eosIds}: Tokenizer): (readonly [string, boolean])[] {
  const text = 'a';
  const bare = encode(text, {addSpecial: false});
  const framed = encode(text).join();
  for (const addBos of [false, true]) {
    for (const addEos of [false, true]) {
      const ids = [...(addBos ? [bosId] : []), ...bare, ...(addEos ? [eosIds[0]] : [])];
      if (ids.join() === framed) {
        return [
          [`${prefix}add_bos_token`, addBos],
          [`${prefix}add_eos_token`, addEos],
        ];
      }
    }
  }
  throw notInGguf('what it puts around a text is not its first token and its end');
}
