import {ModelError} from '../../base/errors.js';
import type {GgufVocabulary} from './gguf_vocabulary.js';
import {gpt2Pattern} from './steps/pre_tokenizers.js';

/** How a byte-level vocabulary splits text before merging. */
export interface Splitting {
  /** Patterns applied one after the other; each isolates its matches. */
  readonly patterns: readonly string[];
  readonly normalizer?: object;
  /** Whether a piece that is a token is taken as it is, whatever the merges give. */
  readonly ignoreMerges?: boolean;
  readonly addBos?: boolean;
}

/** A step that keeps every match and everything between matches as pieces of their own. */
function isolate(pattern: string): object {
  return {type: 'Split', pattern: {Regex: pattern}, behavior: 'Isolated', invert: false};
}

/** The byte-level step after a split: bytes to their printable characters. */
const bytesOnly = {type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false};

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const wordsAndSpaces = (numbers: string): string =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const gpt2: Splitting = {patterns: [gpt2Pattern]};
const smollm: Splitting = {patterns: ['\\p{N}', gpt2Pattern]};
const llama3: Splitting = {patterns: [wordsAndSpaces('\\p{N}{1,3}')], ignoreMerges: true, addBos: true};
const qwen2: Splitting = {patterns: [wordsAndSpaces('\\p{N}')], normalizer: {type: 'NFC'}};
/** What llama.cpp uses for files without `tokenizer.ggml.pre`, unless the vocabulary is known. */
const unnamed: Splitting = {
  patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2Pattern, '\\p{N}+', '[0-9][0-9][0-9]'],
};

/**
 * How a byte-level vocabulary splits text before merging, by the `tokenizer.ggml.pre` of its file. The patterns are
 * those of the models' own tokenizer.json.
 */
const splittings: ReadonlyMap<string, Splitting> = new Map([
  ['gpt-2', gpt2],
  ['gpt2', gpt2],
  ['smollm', smollm],
  ['starcoder', smollm],
  ['refact', smollm],
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
  ['default', unnamed],
]);

/** The `tokenizer.ggml.pre` of this way to split text; undefined if no file can name it. */
export function nameOfSplitting({patterns, normalizer, ignoreMerges = false}: Splitting): string | undefined {
  const key = JSON.stringify([patterns, normalizer ?? null, ignoreMerges]);
  for (const [name, known] of splittings) {
    if (JSON.stringify([known.patterns, known.normalizer ?? null, known.ignoreMerges ?? false]) === key)
      return name;
  }
  return undefined;
}

export interface TokenizerSteps {
  readonly model: {
    readonly type: string;
    readonly vocab: object;
    readonly merges: readonly (readonly string[])[];
  };
  readonly normalizer: unknown;
  readonly preTokenizer: unknown;
  readonly decoder: unknown;
  readonly addBos: boolean;
}

/**
 * The steps of a byte-level BPE tokenizer (Radford et al. 2019) from a GGUF vocabulary of the model `gpt2`.
 * @throws ModelError if the merges are missing or unreadable, or the splitting is not known.
 */
export function byteLevelSteps(
  {pre = 'default', merges, addBos}: GgufVocabulary,
  vocab: object,
): TokenizerSteps {
  const splitting = splittings.get(pre);
  if (splitting === undefined) {
    throw new ModelError(
      `The GGUF file splits text by the rule "${pre}" (tokenizer.ggml.pre); eigenkv knows ` +
        `${[...splittings.keys()].join(', ')}. Use the model's safetensors and tokenizer.json.`,
    );
  }
  if (merges === undefined) throw new ModelError('The GGUF file has a byte-level vocabulary without merges.');
  const pairs = merges.map(merge => {
    const space = merge.indexOf(' ', 1);
    const pair = [merge.slice(0, space), merge.slice(space + 1)];
    if (space < 1 || pair.some(part => part === '' || part.includes(' '))) {
      throw new ModelError(`The GGUF file has a merge that is not two tokens: "${merge}".`);
    }
    return pair;
  });
  const {patterns, normalizer = null, ignoreMerges = false} = splitting;
  return {
    model: {type: 'BPE', vocab, merges: pairs, ...(ignoreMerges && {ignore_merges: true})},
    normalizer,
    preTokenizer: {type: 'Sequence', pretokenizers: [...patterns.map(isolate), bytesOnly]},
    // all keys, though only the Rust library needs them to read the file
    decoder: {type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true},
    addBos: addBos ?? splitting.addBos ?? false,
  };
}
