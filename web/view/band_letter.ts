/** What bands are called: A, B, ..., Z, then by number. */
export function bandLetter(index: number): string {
  return index < 26 ? String.fromCharCode(65 + index) : String(index + 1);
}
