import {type TokenizerSteps, mergesOf} from './byte_level.js';
import {type GgufVocabulary, tokenType} from './gguf_vocabulary.js';
import {mergesFromScores} from './merges_from_scores.js';

/** U+2581, which SentencePiece writes for a space. */
const space = '\u2581';

/**
 * The steps of a SentencePiece BPE tokenizer (Kudo and Richardson 2018, arXiv 1808.06226) from a GGUF vocabulary of
 * the model `llama`: spaces become U+2581, characters without a token become byte tokens.
 * @throws ModelError if the scores are missing.
 */
export function sentencePieceSteps(vocabulary: GgufVocabulary, vocab: object): TokenizerSteps {
  const {addSpacePrefix = true, addBos = true} = vocabulary;
  return {
    model: pieceModel(vocabulary, vocab, mergesFromScores(vocabulary)),
    ...spaceSteps(addSpacePrefix),
    addBos,
  };
}

/** Names in `tokenizer.ggml.pre` of pieces with merges, and whether they always begin a text with the first token. */
const mergedPieces: ReadonlyMap<string | undefined, boolean> = new Map([
  ['gemma4', true],
  ['granite-embed-multi-311m', true],
  ['sarvam-moe', false],
]);

export const hasMergedPieces = ({model, pre}: GgufVocabulary) =>
  model === 'gemma4' || (model === 'gpt2' && mergedPieces.has(pre));

/**
 * The same with a list of merges in place of scores, as Gemma 4 has it. Its first token begins every text, whatever the file says,
 * as in llama.cpp.
 * @throws ModelError if the merges are missing or unreadable.
 */
export function mergedPieceSteps(vocabulary: GgufVocabulary, vocab: object): TokenizerSteps {
  const {model, pre, merges, addBos = false} = vocabulary;
  return {
    model: pieceModel(vocabulary, vocab, mergesOf(merges)),
    ...spaceSteps(false),
    addBos: addBos || mergedPieces.get(model === 'gemma4' ? model : pre)!,
  };
}

function pieceModel(
  {tokens, types, unknownId}: GgufVocabulary,
  vocab: object,
  merges: readonly unknown[],
): TokenizerSteps['model'] {
  const byteTokens = Array.from(types).filter(type => type === tokenType.byte).length;
  return {
    type: 'BPE',
    vocab,
    merges,
    ...(unknownId !== undefined && {unk_token: tokens[unknownId]!, fuse_unk: true}),
    ...(byteTokens === 256 && {byte_fallback: true}),
  };
}

/** The steps that write U+2581 for spaces and read it again, with a space before the text or without. */
export function spaceSteps(
  addSpacePrefix: boolean,
): Pick<TokenizerSteps, 'normalizer' | 'preTokenizer' | 'decoder'> {
  const replaceSpaces = {type: 'Replace', pattern: {String: ' '}, content: space};
  const joinPieces = [
    {type: 'Replace', pattern: {String: space}, content: ' '},
    {type: 'ByteFallback'},
    {type: 'Fuse'},
  ];
  return {
    normalizer: addSpacePrefix
      ? {type: 'Sequence', normalizers: [{type: 'Prepend', prepend: space}, replaceSpaces]}
      : replaceSpaces,
    preTokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: addSpacePrefix
        ? [...joinPieces, {type: 'Strip', content: ' ', start: 1, stop: 0}]
        : joinPieces,
    },
  };
}
