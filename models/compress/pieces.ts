export interface PiecesOptions {
  /** The most tokens of all pieces together: the first ones of each text, of long texts equally many. */
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
  for (const [index, share] of sharesOf(texts, tokens).entries()) {
    const ids = texts[index]!.slice(0, share);
    for (let start = 0; start < ids.length; start += window) {
      const piece = ids.slice(start, start + window);
      if (!whole || piece.length === window) pieces.push(piece);
    }
  }
  return pieces;
}

/** How many tokens of each text are taken: a text shorter than its share leaves the rest to longer ones. */
function sharesOf(texts: readonly (readonly number[])[], tokens: number): number[] {
  const shares = new Array<number>(texts.length).fill(0);
  const shortestFirst = texts.map((_, index) => index).sort((a, b) => texts[a]!.length - texts[b]!.length);
  let left = tokens;
  shortestFirst.forEach((index, at) => {
    shares[index] = Math.min(texts[index]!.length, Math.ceil(left / (texts.length - at)));
    left -= shares[index];
  });
  return shares;
}
