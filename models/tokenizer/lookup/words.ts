import {ModelError} from '../../../base/errors.js';
import {type Fields, needString, readInteger} from '../steps/fields.js';
import type {Lookup} from './lookup.js';

/** WordPiece (Schuster and Nakajima 2012): the longest token that a word begins with, then the longest continuation, to its end. */
export function wordPieceLookup(model: Fields, vocabulary: ReadonlyMap<string, number>): Lookup {
  const prefix = needString(model, 'continuing_subword_prefix');
  const unknown = unknownId(needString(model, 'unk_token'), vocabulary);
  const longest = readInteger(model, 'max_input_chars_per_word', 0, Number.MAX_SAFE_INTEGER) ?? 100;
  return part => {
    const characters = Array.from(part);
    if (characters.length > longest) return [unknown()];
    const ids: number[] = [];
    for (let start = 0, end: number; start < characters.length; start = end) {
      let id: number | undefined;
      for (end = characters.length; end > start; end--) {
        id = vocabulary.get((start > 0 ? prefix : '') + characters.slice(start, end).join(''));
        if (id !== undefined) break;
      }
      if (id === undefined) return [unknown()];
      ids.push(id);
    }
    return ids;
  };
}

/** Each part is a token, or unknown. */
export function wordLevelLookup(model: Fields, vocabulary: ReadonlyMap<string, number>): Lookup {
  const unknown = unknownId(needString(model, 'unk_token'), vocabulary);
  return part => [vocabulary.get(part) ?? unknown()];
}

function unknownId(token: string, vocabulary: ReadonlyMap<string, number>): () => number {
  return () => {
    const id = vocabulary.get(token);
    if (id !== undefined) return id;
    throw new ModelError(
      `The tokenizer has no token for a part of this text, and none for what is unknown ("${token}").`,
    );
  };
}
