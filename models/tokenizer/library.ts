import * as untyped from '@huggingface/tokenizers';

/**
 * The part of @huggingface/tokenizers 0.2.0 that is used here. Its own declarations import each other without file
 * extensions, which does not resolve under NodeNext: to the compiler every export is an error. Hence the one cast.
 */
interface Library {
  readonly Tokenizer: new (tokenizerJson: object, tokenizerConfig: object) => LibraryTokenizer;
  readonly SplitPreTokenizer: new (config: object) => {readonly pattern: RegExp | null};
  readonly SequenceDecoder: new (config: object) => {readonly decoders: readonly unknown[]};
  readonly ByteFallbackDecoder: new (config: object) => {text_decoder: TextDecoder};
}

export interface LibraryTokenizer {
  readonly decoder: unknown;
  encode(
    text: string,
    options: {add_special_tokens: boolean},
  ): {
    /** Undefined for what has no token, where the model has none for what is unknown. */
    readonly ids: readonly (number | undefined)[];
  };
  decode(
    ids: number[],
    options: {skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean},
  ): string;
}

export const library = untyped as unknown as Library;
