import {textReader} from './binary_text.js';

/**
 * A binary made of another one. Edits are words of the form `skip,copy,bytes`, separated by spaces. Each one passes over `skip` bytes of
 * the other binary (back, if negative), copies its next `copy` bytes and appends `bytes`, a text for the reader of `ranked`.
 */
export function applyEdits(other: Uint8Array, edits: string, ranked: string): Uint8Array<ArrayBuffer> {
  const read = textReader(ranked);
  let at = 0;
  const parts = edits.split(' ').flatMap(edit => {
    const [skip, copy, bytes = ''] = edit.split(',');
    const start = at + Number(skip);
    at = start + Number(copy);
    return [other.subarray(start, at), read(bytes)];
  });
  const binary = new Uint8Array(parts.reduce((sum, {length}) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    binary.set(part, end);
    end += part.length;
  }
  return binary;
}
