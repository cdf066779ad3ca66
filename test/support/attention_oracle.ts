/** Dense keys, values and queries as flat arrays, axes `[batch, heads, tokens, dim]`. */
export interface AttentionProblem {
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly queryTokens: number;
  /** Number of tokens of keys and values in the arrays, and how many of them are valid. */
  readonly capacity: number;
  readonly tokens: number;
  readonly dim: number;
  readonly dimV: number;
  readonly scale: number;
  readonly firstQuery?: number | undefined;
  /** The bound of scaled scores. Default: none. */
  readonly softCap?: number | undefined;
  /** A window over positions: of query 0, and of the first token. Default: none. */
  readonly window?:
    {readonly size: number; readonly firstQuery: number; readonly positions: number} | undefined;
  readonly queries: ArrayLike<number>;
  readonly keys: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  /** Added to the scores of each token: `[batch, kvHeads, tokens]`. Default: nothing. */
  readonly bias?: ArrayLike<number> | undefined;
}

/** Attention by its definition, one query at a time, in double precision. */
export interface AttentionAnswer {
  /** `[batch, heads, queryTokens, dimV]`, normalised; zeros if a query attends to no token. */
  readonly output: Float64Array;
  /** `[batch, heads, queryTokens]` each: the largest score, and the sum of exp(score - largest). */
  readonly max: Float64Array;
  readonly sum: Float64Array;
}

export function attentionOracle(problem: AttentionProblem): AttentionAnswer {
  const {batch, heads, kvHeads, queryTokens, dimV} = problem;
  const rows = batch * heads * queryTokens;
  const answer = {
    output: new Float64Array(rows * dimV),
    max: new Float64Array(rows).fill(-Infinity),
    sum: new Float64Array(rows),
  };
  for (let row = 0; row < rows; row++) {
    const query = row % queryTokens;
    const head = Math.floor(row / queryTokens); // of all batches
    const kvHead = Math.floor(head / (heads / kvHeads)); // of all batches, too: heads divide evenly
    answerQuery(problem, answer, row, query, kvHead);
  }
  return answer;
}

function answerQuery(
  problem: AttentionProblem,
  answer: AttentionAnswer,
  row: number,
  query: number,
  kvHead: number,
): void {
  const {capacity, dimV, values} = problem;
  const [from, to] = seenTokens(problem, query);
  if (from >= to) return;
  const scores = Array.from({length: to - from}, (_, i) => scoreOf(problem, row, kvHead, from + i));
  const max = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = scores.map(score => Math.exp(score - max));
  const sum = weights.reduce((a, b) => a + b, 0);
  answer.max[row] = max;
  answer.sum[row] = sum;
  for (let d = 0; d < dimV; d++) {
    const value = (token: number) => values[(kvHead * capacity + token) * dimV + d]!;
    const total = weights.reduce((a, w, i) => a + w * value(from + i), 0);
    answer.output[row * dimV + d] = total / sum;
  }
}

/** The tokens that a query sees: from the first up to the last, which is not one of them. */
export function seenTokens(
  {tokens, firstQuery, window}: Pick<AttentionProblem, 'tokens' | 'firstQuery' | 'window'>,
  query: number,
): [from: number, to: number] {
  const to = firstQuery === undefined ? tokens : Math.max(0, Math.min(tokens, firstQuery + query + 1));
  if (window === undefined) return [0, to];
  const oldest = window.firstQuery + query - window.size + 1;
  return [Math.max(0, oldest - window.positions), to];
}

/** The score that a row of queries gives a token of a key head, in double precision. */
export function scoreOf(problem: AttentionProblem, row: number, kvHead: number, token: number): number {
  const {capacity, tokens, dim, scale, softCap, queries, keys, bias} = problem;
  let product = 0;
  for (let d = 0; d < dim; d++)
    product += queries[row * dim + d]! * keys[(kvHead * capacity + token) * dim + d]!;
  const scaled = product * scale;
  const capped = softCap === undefined ? scaled : softCap * Math.tanh(scaled / softCap);
  return capped + (bias?.[kvHead * tokens + token] ?? 0);
}
