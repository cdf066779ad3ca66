import {ModelError} from '../../base/errors.js';
import type {Warn} from '../../base/warn.js';
import {
  metadataBoolean,
  metadataNumber,
  metadataNumbers,
  metadataString,
  metadataStrings,
} from '../../base/files/gguf_metadata.js';
import type {Metadata} from '../../base/files/tensor_file.js';
import {isEndToken} from './end_tokens.js';

/** The tokens of a GGUF file, checked. Source: docs/gguf.md of ggml-org/ggml, "Tokenizer". */
export interface GgufVocabulary {
  /** `gpt2`: byte-level BPE with merges. `llama`: SentencePiece BPE with scores. */
  readonly model: string;
  /** Undefined if the file does not state it, or states an empty text. */
  readonly pre: string | undefined;
  readonly tokens: readonly string[];
  /** Of `tokenType`. A token that is spelled as an end of text is a control token whatever the file says, as in llama.cpp. */
  readonly types: ArrayLike<number>;
  readonly scores: ArrayLike<number> | undefined;
  readonly merges: readonly string[] | undefined;
  readonly bosId: number | undefined;
  /** Every token that ends a text: those that the file names, then those that are spelled so. */
  readonly eosIds: readonly number[];
  readonly unknownId: number | undefined;
  readonly addBos: boolean | undefined;
  readonly addEos: boolean;
  readonly addSpacePrefix: boolean | undefined;
}

/** The values of `tokenizer.ggml.token_type`. */
export const tokenType = {normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6} as const;

export const prefix = 'tokenizer.ggml.';

/**
 * Ids outside the vocabulary count as not given, with a warning.
 * @throws ModelError if a list or a needed key is missing, or lengths contradict each other.
 */
export function readGgufVocabulary(metadata: Metadata, warn: Warn): GgufVocabulary {
  const tokens = metadataStrings(metadata, `${prefix}tokens`);
  const model = metadataString(metadata, `${prefix}model`);
  if (tokens === undefined || tokens.length === 0 || model === undefined) {
    throw new ModelError(
      'The GGUF file has no vocabulary (tokenizer.ggml.tokens and .model); use one that has.',
    );
  }
  const twice =
    tokens.length === new Set(tokens).size ? undefined : tokens.find((t, id) => tokens.indexOf(t) !== id);
  if (twice !== undefined) throw new ModelError(`The GGUF file's vocabulary has the token "${twice}" twice.`);
  const id = (key: string): number | undefined =>
    readId(metadata, `${prefix}${key}_token_id`, tokens.length, warn);
  const bosId = id('bos');
  const unknownId = id('unknown');
  const named = ['eos', 'eot', 'eom'].map(id).filter(end => end !== undefined);
  const spelled: number[] = [];
  tokens.forEach((token, i) => {
    if (isEndToken(token)) spelled.push(i);
  });
  const types = Array.from(
    list(metadata, 'token_type', tokens.length) ??
      guessTypes(tokens, [bosId, unknownId, id('padding'), ...named]),
  );
  const pre = metadataString(metadata, `${prefix}pre`);
  for (const end of spelled) types[end] = tokenType.control;
  return {
    model,
    pre: pre === '' ? undefined : pre,
    tokens,
    types,
    scores: list(metadata, 'scores', tokens.length),
    merges: metadataStrings(metadata, `${prefix}merges`),
    bosId,
    eosIds: [...new Set([...named, ...spelled])],
    unknownId,
    addBos: metadataBoolean(metadata, `${prefix}add_bos_token`),
    addEos: metadataBoolean(metadata, `${prefix}add_eos_token`) ?? false,
    addSpacePrefix: metadataBoolean(metadata, `${prefix}add_space_prefix`),
  };
}

function readId(metadata: Metadata, key: string, vocabSize: number, warn: Warn): number | undefined {
  const id = metadataNumber(metadata, key);
  if (id === undefined || (Number.isInteger(id) && id >= 0 && id < vocabSize)) return id;
  if (!Number.isInteger(id)) {
    throw new ModelError(
      `The GGUF file's ${key} is ${id}; an id is a whole number. Convert the model again.`,
    );
  }
  warn(
    `The GGUF file's ${key} is ${id}, but its vocabulary has the ids 0 to ${vocabSize - 1}: it counts as not given.`,
  );
  return undefined;
}

function list(metadata: Metadata, key: string, vocabSize: number): ArrayLike<number> | undefined {
  const values = metadataNumbers(metadata, prefix + key);
  if (values === undefined || values.length === vocabSize) return values;
  throw new ModelError(
    `The GGUF file has ${vocabSize} tokens but ${values.length} entries in ${prefix}${key}.`,
  );
}

function guessTypes(tokens: readonly string[], control: readonly (number | undefined)[]): number[] {
  return tokens.map((token, id) => {
    if (control.includes(id)) return tokenType.control;
    return /^<0x[0-9A-F]{2}>$/.test(token) ? tokenType.byte : tokenType.normal;
  });
}
