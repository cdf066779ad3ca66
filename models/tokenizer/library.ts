import * as untyped from '@huggingface/tokenizers';

/**
 * The part of @huggingface/tokenizers 0.2.0 that is used: it writes patterns of Oniguruma as `RegExp`, and a bench opens its tokenizers. Its own declarations
 * import each other without file extensions, which does not resolve under NodeNext: to the compiler every export is an error.
 * Hence the one cast.
 */
interface Library {
  readonly Tokenizer: new (json: object, config: object) => object;
  readonly SplitPreTokenizer: new (config: object) => {readonly pattern: RegExp | null};
}

export const library = untyped as unknown as Library;
