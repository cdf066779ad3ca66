import {singleLine, textWidth} from './terminal.js';

/**
 * Wraps a text into lines of at most `width` columns, between words. A wider word is broken after `,`, `:` or `/`, or anywhere if that does
 * not suffice.
 */
export function wrapped(text: string, width: number): string[] {
  const room = Math.max(2, width); // a wide character takes two columns
  const lines: string[] = [];
  let line = '';
  for (const word of singleLine(text).trim().split(' ')) {
    const joined = line === '' ? word : `${line} ${word}`;
    if (textWidth(joined) <= room) {
      line = joined;
      continue;
    }
    if (line !== '') lines.push(line);
    const pieces = piecesOf(word, room);
    lines.push(...pieces.slice(0, -1));
    line = pieces.at(-1) ?? '';
  }
  return [...lines, line];
}

/** Wraps a text and joins its lines; each line of the given text is a paragraph. */
export function wrappedText(text: string, width: number): string {
  return text
    .split('\n')
    .flatMap(paragraph => wrapped(paragraph, width))
    .join('\n');
}

/** Lines with a term and its description in two columns; further lines of the description are indented below the first. */
export function hanging(
  term: string,
  text: string,
  {width, indent}: {width: number; indent: number},
): string[] {
  const lines = wrapped(text, width - indent);
  const space = ' '.repeat(indent);
  const room = indent - textWidth(term);
  if (room > 0) return lines.map((line, i) => (i === 0 ? term + ' '.repeat(room) : space) + line);
  const start = ' '.repeat(term.length - term.trimStart().length);
  return [
    ...wrapped(term, width - start.length).map(line => start + line),
    ...lines.map(line => space + line),
  ];
}

function piecesOf(word: string, width: number): string[] {
  const parts = word
    .split(/(?<=[,:/\\])/)
    .flatMap(part => (textWidth(part) <= width ? [part] : graphemes(part)));
  const pieces: string[] = [];
  for (const part of parts) {
    const last = pieces.at(-1);
    if (last !== undefined && textWidth(last + part) <= width) pieces[pieces.length - 1] = last + part;
    else pieces.push(part);
  }
  return pieces;
}

const segmenter = new Intl.Segmenter();

const graphemes = (text: string) => Array.from(segmenter.segment(text), ({segment}) => segment);
