/** GPT-2's printable character for each byte (Radford et al. 2019, encoder.py): printable bytes are their own characters. */
const characterOfByte: readonly string[] = (() => {
  let further = 256;
  return Array.from({length: 256}, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : further++);
  });
})();

export const byteOfCharacter: ReadonlyMap<string, number> = new Map(
  characterOfByte.map((character, byte) => [character, byte]),
);

export const utf8 = new TextEncoder();
/** Bytes that are not UTF-8 become U+FFFD, and U+FEFF is a character as any other. */
export const utf8Text = new TextDecoder('utf-8', {ignoreBOM: true});

/** The UTF-8 bytes of a text, each as its printable character. */
export function byteCharacters(text: string): string {
  let out = '';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) return out + viaBytes(text.slice(i));
    out += characterOfByte[code]!;
  }
  return out;
}

function viaBytes(text: string): string {
  let out = '';
  for (const byte of utf8.encode(text)) out += characterOfByte[byte]!;
  return out;
}
