/**
 * A binary made of another one. Edits are words of the form `skip,copy,bytes`, separated by spaces. Each one passes over `skip` bytes of
 * the other binary (back, if negative), copies its next `copy` bytes and appends `bytes`, two hexadecimal digits each.
 */
export function applyEdits(other: Uint8Array, edits: string): Uint8Array<ArrayBuffer> {
  let at = 0;
  const parts = edits.split(' ').flatMap(edit => {
    const [skip, copy, bytes = ''] = edit.split(',');
    const start = at + Number(skip);
    at = start + Number(copy);
    return [other.subarray(start, at), bytesOfHex(bytes)];
  });
  const binary = new Uint8Array(parts.reduce((sum, {length}) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    binary.set(part, end);
    end += part.length;
  }
  return binary;
}

/** The bytes that hexadecimal digits stand for, two lower-case digits each. */
export function bytesOfHex(digits: string): Uint8Array<ArrayBuffer> {
  // of character codes, since `Number('0x..')` takes ten times as long: '0' is 48, 'a' is 97
  const digit = (at: number) => {
    const code = digits.charCodeAt(at);
    return code < 97 ? code - 48 : code - 87;
  };
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (digit(2 * i) << 4) | digit(2 * i + 1);
  return bytes;
}
