import {ModelError} from '../../base/errors.js';
import type {Metadata} from '../../base/files/tensor_file.js';
import {type Warn, warnOnConsole} from '../../base/warn.js';
import {type TokenizerSteps, byteLevelSteps} from './byte_level.js';
import {type GgufVocabulary, readGgufVocabulary, tokenType} from './gguf_vocabulary.js';
import {assumedSplitting} from './known_vocabularies.js';
import {hasMergedPieces, mergedPieceSteps, sentencePieceSteps} from './sentence_pieces.js';
import {type Tokenizer, buildTokenizer} from './tokenizer.js';
import {checkTokenizerJson} from './tokenizer_json.js';

/**
 * A tokenizer from the vocabulary inside a GGUF file (`tensorFile.metadata`): byte-level BPE (`gpt2`) or SentencePiece
 * BPE (`llama`; `gemma4` with merges), written as the tokenizer.json that the model's authors would have shipped.
 * @throws ModelError if the vocabulary is missing, of another kind, or contradicts itself.
 */
export function tokenizerFromGguf(metadata: Metadata, warn: Warn = warnOnConsole): Tokenizer {
  const vocabulary = readGgufVocabulary(metadata, warn);
  const ids = idsOfTokens(vocabulary);
  const steps = stepsOf(vocabulary, asObject(ids), warn);
  const json = checkTokenizerJson({
    version: '1.0',
    model: steps.model,
    added_tokens: addedTokens(vocabulary),
    normalizer: steps.normalizer,
    pre_tokenizer: steps.preTokenizer,
    post_processor: frame(vocabulary, steps.addBos),
    decoder: steps.decoder,
  });
  return buildTokenizer(json, {bosId: vocabulary.bosId, eosIds: vocabulary.eosIds}, warn, ids);
}

function stepsOf(vocabulary: GgufVocabulary, vocab: object, warn: Warn): TokenizerSteps {
  const {model} = vocabulary;
  if (hasMergedPieces(vocabulary)) return mergedPieceSteps(vocabulary, vocab);
  if (model === 'llama') return sentencePieceSteps(vocabulary, vocab);
  if (model === 'gpt2') {
    const pre = vocabulary.pre ?? assumedSplitting(vocabulary, warn);
    return byteLevelSteps({...vocabulary, pre}, vocab);
  }
  const why = otherModels.get(model) ?? 'eigenkv reads gpt2, gemma4 and llama';
  throw new ModelError(
    `The GGUF file has a vocabulary of the kind "${model}" (tokenizer.ggml.model); ${why}. ` +
      "Use the model's safetensors and tokenizer.json.",
  );
}

/** Kinds that llama.cpp knows and eigenkv does not, and why. */
const otherModels: ReadonlyMap<string, string> = new Map([
  ['bert', 'WordPiece is for encoders, and eigenkv reads decoders'],
  ['t5', 'unigram is for T5 and encoders, and eigenkv reads decoders'],
  ['rwkv', 'eigenkv has no tokenizer of RWKV'],
  ['plamo2', 'eigenkv has no tokenizer of PLaMo 2'],
  ['hybriddna', 'eigenkv has no tokenizer of DNA'],
  ['whitespace', 'it is for encoders, and eigenkv reads decoders'],
  ['none', 'there is none in it'],
  ['no_vocab', 'there is none in it'],
]);

/** The ids of tokens, without those that pad the vocabulary (`[PAD151646]`, of the type "unused"), as in llama.cpp. */
function idsOfTokens({tokens, types, bosId, eosIds, unknownId}: GgufVocabulary): Map<string, number> {
  const ids = new Map<string, number>();
  const named = new Set([bosId, unknownId, ...eosIds]);
  tokens.forEach((token, id) => {
    if (types[id] !== tokenType.unused || named.has(id)) ids.set(token, id);
  });
  return ids;
}

/** The same as an object. It has no prototype, so that a token called `__proto__` is a token. */
function asObject(ids: ReadonlyMap<string, number>): object {
  const vocab = Object.create(null) as Record<string, number>;
  for (const [token, id] of ids) vocab[token] = id;
  return vocab;
}

/** Tokens that are found in a text before anything is split or merged. */
function addedTokens({tokens, types}: GgufVocabulary): object[] {
  const added: object[] = [];
  tokens.forEach((content, id) => {
    const special = types[id] === tokenType.control || types[id] === tokenType.unknown;
    if ((special || types[id] === tokenType.userDefined) && content !== '') {
      added.push({id, content, special, normalized: false, single_word: false, lstrip: false, rstrip: false});
    }
  });
  return added;
}

/** The tokens before and after each text. */
function frame({tokens, bosId, eosIds, addEos}: GgufVocabulary, addBos: boolean): object | null {
  const token = (id: number): object => ({SpecialToken: {id: tokens[id]!, type_id: 0}});
  const beforeIds = addBos && bosId !== undefined ? [bosId] : [];
  const afterIds = addEos ? eosIds.slice(0, 1) : [];
  if (beforeIds.length + afterIds.length === 0) return null;
  const [before, after] = [beforeIds.map(token), afterIds.map(token)];
  const single = [...before, {Sequence: {id: 'A', type_id: 0}}, ...after];
  return {
    type: 'TemplateProcessing',
    single,
    pair: [...single, {Sequence: {id: 'B', type_id: 0}}],
    special_tokens: Object.fromEntries(
      [...beforeIds, ...afterIds].map(id => [
        tokens[id]!,
        {id: tokens[id]!, ids: [id], tokens: [tokens[id]!]},
      ]),
    ),
  };
}
