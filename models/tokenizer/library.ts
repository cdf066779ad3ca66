import * as untyped from '@huggingface/tokenizers';

/**
 * The part of @huggingface/tokenizers 0.2.0 that is used here: it writes patterns of Oniguruma as `RegExp`. Its own declarations
 * import each other without file extensions, which does not resolve under NodeNext: to the compiler every export is an error.
 * Hence the one cast.
 */
interface Library {
  readonly SplitPreTokenizer: new (config: object) => {readonly pattern: RegExp | null};
}

export const library = untyped as unknown as Library;
