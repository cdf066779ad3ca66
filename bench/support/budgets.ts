/** Shares of the tokens of a context that keepers are measured at. */
export const shares = [0.5, 0.25, 0.125] as const;

/** Plans that keep this many tokens of each head, exact. A keeper is one entry. */
export const keepers: Readonly<Record<string, (tokens: number) => string>> = {
  h2o: tokens => h2o(tokens),
  'h2o, sums': tokens => `${h2o(tokens)},normalize=false`,
  sliding: tokens => `sliding:window=${tokens - sinks}`,
  ...Object.fromEntries(
    ['dropKv', 'expectedAttention', 'keyDiff', 'snapKv', 'tova'].map(name => [
      name,
      (tokens: number) => aroundRecent(name, tokens),
    ]),
  ),
};

/** The first tokens, which stay. */
const sinks = 4;

/** Half of the tokens by their attention, the first ones among them, and half because they are the newest. */
function h2o(tokens: number): string {
  const recent = Math.floor(tokens / 2);
  return `h2o:heavyBudget=${tokens - recent},recentBudget=${recent}`;
}

/** Most of the tokens by their scores; the newest queries that some keepers score by stay, or half of the tokens if these are fewer. */
function aroundRecent(name: string, tokens: number): string {
  const recent = Math.min(64, Math.floor(tokens / 2));
  return `${name}:budget=${tokens - sinks - recent},recent=${recent}`;
}

/** Plans that keep all tokens, in 8 to 2 bits. */
export const codecs = [
  'quantized',
  'quantized:bits=4,groupSize=32',
  'transform:bits=4.2',
  'transform:bits=3.24',
  'transform:bits=2.28',
] as const;
