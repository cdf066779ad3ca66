import {ModelError} from '../../../base/errors.js';
import {type Fields, needBoolean} from '../steps/fields.js';
import {byteTokens, spell} from './byte_tokens.js';
import type {Lookup} from './lookup.js';

/** Subtracted from the lowest score for a character that no token begins with (SentencePiece's kUnkPenalty). */
const unknownPenalty = 10;

/**
 * A unigram language model (Kudo 2018, arXiv 1804.10959): of all ways to write a part with tokens, the one with the highest sum of
 * scores. Unknown characters side by side are one token, or one for each of their bytes.
 */
export function unigramLookup(model: Fields, vocabulary: ReadonlyMap<string, number>): Lookup {
  const scores = readScores(model['vocab']);
  const unknown = typeof model['unk_id'] === 'number' ? model['unk_id'] : undefined;
  const bytes = needBoolean(model, 'byte_fallback', false) ? byteTokens(vocabulary) : undefined;
  const lowest = scores.reduce((least, score) => Math.min(least, score), Infinity);
  const longest = [...vocabulary.keys()].reduce((most, token) => Math.max(most, token.length), 0);
  const path = bestPath({vocabulary, scores, longest, unknown, unknownScore: lowest - unknownPenalty});
  return part =>
    path(part).flatMap(piece => {
      const id = vocabulary.get(piece);
      return id === undefined ? ((bytes && spell(piece, bytes)) ?? [need(unknown)]) : [id];
    });
}

function readScores(vocab: unknown): readonly number[] {
  return Array.isArray(vocab)
    ? vocab.map((entry: unknown) => (Array.isArray(entry) ? Number(entry[1]) : NaN))
    : [];
}

function need(unknown: number | undefined): number {
  if (unknown !== undefined) return unknown;
  throw new ModelError(
    'The tokenizer has no token for a part of this text, and none for what is unknown (unk_id).',
  );
}

interface Scored {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly scores: readonly number[];
  /** Code units of the longest token. */
  readonly longest: number;
  readonly unknown: number | undefined;
  readonly unknownScore: number;
}

/** Viterbi's algorithm (1967) over the places of a part. */
function bestPath({vocabulary, scores, longest, unknown, unknownScore}: Scored): (part: string) => string[] {
  return part => {
    const size = part.length;
    const best = new Float64Array(size + 1);
    const from = new Int32Array(size + 1).fill(-1);
    const isUnknown = new Uint8Array(size + 1);
    const offer = (start: number, end: number, score: number, id: number | undefined): void => {
      const total = best[start]! + score;
      if (from[end]! >= 0 && total <= best[end]!) return;
      best[end] = total;
      from[end] = start;
      isUnknown[end] = id === unknown ? 1 : 0;
    };
    let start = 0;
    for (const {length: width} of part) {
      for (let end = start + 1; end <= Math.min(size, start + longest); end++) {
        const id = vocabulary.get(part.slice(start, end));
        if (id !== undefined) offer(start, end, scores[id]!, id);
      }
      if (!vocabulary.has(part.slice(start, start + width)))
        offer(start, start + width, unknownScore, need(unknown));
      start += width;
    }
    return piecesOf(part, from, isUnknown);
  };
}

/** Unknown pieces side by side are one. */
function piecesOf(part: string, from: Int32Array, isUnknown: Uint8Array): string[] {
  const pieces: string[] = [];
  for (let end = part.length; end > 0;) {
    let start = from[end]!;
    while (isUnknown[end] === 1 && start > 0 && isUnknown[start] === 1) start = from[start]!;
    pieces.push(part.slice(start, end));
    end = start;
  }
  return pieces.reverse();
}
