/** Which depths of a model have a sliding window. */
export interface Windowed {
  /** Number of attention layers. */
  readonly depths: number;
  /** Sliding window in tokens: a depth that has it holds little more. Default: none. */
  readonly window?: number | undefined;
  /** The depths that have the window, if `window` is given. Default: all. */
  readonly windowed?: readonly boolean[] | undefined;
}

/** Returns the window of a depth; undefined if it has none. */
export function windowAt({window, windowed}: Windowed, depth: number): number | undefined {
  return windowed?.[depth] === false ? undefined : window;
}

/** Returns the tokens that all depths of a cache hold together, after a text of so many. */
export function tokensOfDepths(shape: Windowed, tokens: number): number {
  const held = Array.from({length: shape.depths}, (_, depth) =>
    Math.min(tokens, windowAt(shape, depth) ?? Infinity),
  );
  return held.reduce((sum, of) => sum + of, 0);
}
