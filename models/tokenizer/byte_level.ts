import {ModelError} from '../../base/errors.js';
import type {GgufVocabulary} from './gguf_vocabulary.js';
import {otherSplittings, splittings} from './splittings.js';

/** A step that keeps every match and everything between matches as pieces of their own. */
function isolate(pattern: string): object {
  return {type: 'Split', pattern: {Regex: pattern}, behavior: 'Isolated', invert: false};
}

/** The byte-level step after a split: bytes to their printable characters. */
const bytesOnly = {type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false};

export interface TokenizerSteps {
  readonly model: {
    readonly type: string;
    readonly vocab: object;
    readonly merges: readonly unknown[];
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
    const why = otherSplittings.get(pre) ?? `eigenkv knows ${[...splittings.keys()].join(', ')}`;
    throw new ModelError(
      `The GGUF file splits text by the rule "${pre}" (tokenizer.ggml.pre); ${why}. Use the model's safetensors and tokenizer.json.`,
    );
  }
  const {patterns, bytePatterns = [], normalizer = null, ignoreMerges = false} = splitting;
  return {
    model: {type: 'BPE', vocab, merges: mergesOf(merges), ...(ignoreMerges && {ignore_merges: true})},
    normalizer,
    preTokenizer: {
      type: 'Sequence',
      pretokenizers: [...patterns.map(isolate), bytesOnly, ...bytePatterns.map(isolate)],
    },
    // all keys, though only the Rust library needs them to read the file
    decoder: {type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true},
    addBos: addBos ?? splitting.addBos ?? false,
  };
}

/**
 * The `merges` of a file, checked: each is two tokens with a space between them, as in a tokenizer.json.
 * @throws ModelError if there are none, or one is something else.
 */
export function mergesOf(merges: readonly string[] | undefined): readonly unknown[] {
  if (merges === undefined) throw new ModelError('The GGUF file has a BPE vocabulary without merges.');
  const wrong = merges.find(merge => {
    const space = merge.indexOf(' ');
    return space < 1 || space + 1 === merge.length || merge.indexOf(' ', space + 1) >= 0;
  });
  if (wrong !== undefined) {
    throw new ModelError(`The GGUF file has a merge that is not two tokens: "${wrong}".`);
  }
  // there a text that begins so is a comment
  return merges.some(merge => merge.startsWith('#version')) ? merges.map(merge => merge.split(' ')) : merges;
}
