import {utf8} from '../steps/bytes.js';

/** The ids of the tokens `<0x00>` to `<0xFF>`, by byte; some may be missing. */
export function byteTokens(vocabulary: ReadonlyMap<string, number>): ReadonlyMap<number, number> {
  const ids = new Map<number, number>();
  for (let byte = 0; byte < 256; byte++) {
    const id = vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    if (id !== undefined) ids.set(byte, id);
  }
  return ids;
}

/** The tokens of all bytes of a text, if the vocabulary has one for each. */
export function spell(text: string, bytes: ReadonlyMap<number, number>): number[] | undefined {
  const ids: number[] = [];
  for (const byte of utf8.encode(text)) {
    const id = bytes.get(byte);
    if (id === undefined) return undefined;
    ids.push(id);
  }
  return ids;
}
