/** A word as a POSIX shell takes it for one, quoted where it has to be. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) && !word.startsWith('~')
    ? word
    : `'${word.replaceAll("'", `'\\''`)}'`;
}
