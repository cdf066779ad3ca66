// Bytes as a text of JavaScript that is nearly as small as they are, and shrinks as much when a page is sent compressed. (Hexadecimal digits
// take twice the room and a seventh more when compressed, base64 half more: its characters do not begin with bytes.) The most frequent 85
// bytes are one character each. Each of the others is two, the first of which is one of two that stand for nothing else.

/** How many bytes are one character. */
export const single = 85;

/** Printable ASCII without what has to be escaped in some text, and what ends an edit or a part of it. */
export const characters = Array.from({length: 94}, (_, i) => String.fromCharCode(33 + i))
  .filter(character => !',\'"`\\$<'.includes(character))
  .join('');

/**
 * What reads the bytes of texts.
 *
 * @param ranked all bytes, the most frequent first, two hexadecimal digits each.
 */
export function textReader(ranked: string): (text: string) => Uint8Array<ArrayBuffer> {
  const bytesByRank = Uint8Array.from({length: 256}, (_, rank) =>
    parseInt(ranked.slice(2 * rank, 2 * rank + 2), 16),
  );
  const places = new Uint8Array(128);
  for (let place = 0; place < characters.length; place++) places[characters.charCodeAt(place)] = place;
  return text => {
    const bytes = new Uint8Array(text.length);
    let count = 0;
    for (let i = 0; i < text.length; i++) {
      let rank = places[text.charCodeAt(i)]!;
      if (rank >= single) rank = single + (rank - single) * characters.length + places[text.charCodeAt(++i)]!;
      bytes[count++] = bytesByRank[rank]!;
    }
    return bytes.slice(0, count);
  };
}
