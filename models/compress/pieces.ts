export interface PiecesOptions {
  /** The most tokens of all pieces together. */
  readonly tokens: number;
  /** The most tokens of a piece. */
  readonly window: number;
  /** Leave pieces out that are shorter than a window. */
  readonly whole: boolean;
}

/** Texts cut into pieces, each to be seen as a text of its own. */
export function piecesOf(
  texts: readonly (readonly number[])[],
  {tokens, window, whole}: PiecesOptions,
): number[][] {
  const pieces: number[][] = [];
  let left = tokens;
  for (const ids of texts) {
    for (let start = 0; start < ids.length && left > 0; start += window) {
      const piece = ids.slice(start, start + Math.min(window, left));
      if (!whole || piece.length === window) pieces.push(piece);
      left -= piece.length;
    }
  }
  return pieces;
}
