import type {Warn} from '../../base/warn.js';
import type {GgufVocabulary} from './gguf_vocabulary.js';

/** A published byte-level vocabulary, recognised by what fine-tuned and padded copies keep: a least size and some tokens at their ids. */
interface KnownVocabulary {
  /** Its `tokenizer.ggml.pre`. */
  readonly pre: string;
  readonly minTokens: number;
  readonly tokens: Readonly<Record<number, string>>;
}

const knownVocabularies: readonly KnownVocabulary[] = [
  {pre: 'gpt-2', minTokens: 50_257, tokens: {0: '!', 50256: '<|endoftext|>'}},
  {pre: 'smollm', minTokens: 49_152, tokens: {0: '<|endoftext|>', 1: '<|im_start|>', 2: '<|im_end|>'}},
  {pre: 'starcoder', minTokens: 49_152, tokens: {0: '<|endoftext|>', 1: '<fim_prefix>'}},
  {
    pre: 'llama-bpe',
    minTokens: 128_256,
    tokens: {0: '!', 128000: '<|begin_of_text|>', 128001: '<|end_of_text|>'},
  },
  {pre: 'qwen2', minTokens: 151_646, tokens: {0: '!', 151643: '<|endoftext|>', 151644: '<|im_start|>'}},
  {pre: 'mpt', minTokens: 50_254, tokens: {0: '<|endoftext|>', 1: '<|padding|>', 2: '!'}}, // GPT-NeoX
  {pre: 'falcon', minTokens: 65_024, tokens: {0: '>>TITLE<<', 11: '<|endoftext|>'}},
  {
    pre: 'deepseek-coder',
    minTokens: 32_022,
    tokens: {0: '!', 32013: '<｜begin▁of▁sentence｜>', 32014: '<｜end▁of▁sentence｜>'},
  },
  {
    pre: 'deepseek-llm',
    minTokens: 100_002,
    tokens: {0: '!', 100000: '<｜begin▁of▁sentence｜>', 100001: '<｜end▁of▁sentence｜>'},
  },
  {
    pre: 'command-r',
    minTokens: 255_029,
    tokens: {0: '<PAD>', 5: '<BOS_TOKEN>', 255001: '<|END_OF_TURN_TOKEN|>'},
  },
];

/**
 * The rule by which a byte-level vocabulary of a file without `tokenizer.ggml.pre` splits text: that of the published
 * vocabulary which it is, else the one that llama.cpp assumes, with a warning.
 */
export function assumedSplitting({tokens}: Pick<GgufVocabulary, 'tokens'>, warn: Warn): string {
  const known = knownVocabularies.find(
    ({minTokens, tokens: landmarks}) =>
      tokens.length >= minTokens &&
      Object.entries(landmarks).every(([id, token]) => tokens[Number(id)] === token),
  );
  if (known !== undefined) return known.pre;
  warn(
    'The GGUF file does not say how its vocabulary splits text (tokenizer.ggml.pre), and it is none that eigenkv knows: text is ' +
      'split by "default", as llama.cpp does, which few models were trained with. Convert the model again if its text is bad.',
  );
  return 'default';
}
