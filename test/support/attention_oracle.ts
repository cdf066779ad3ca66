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
  const {capacity, tokens, dim, dimV, scale, firstQuery, queries, keys, values, bias} = problem;
  const seen = firstQuery === undefined ? tokens : Math.max(0, Math.min(tokens, firstQuery + query + 1));
  if (seen === 0) return;
  const scores = Array.from({length: seen}, (_, token) => {
    let score = 0;
    for (let d = 0; d < dim; d++)
      score += queries[row * dim + d]! * keys[(kvHead * capacity + token) * dim + d]!;
    return score * scale + (bias?.[kvHead * tokens + token] ?? 0);
  });
  const max = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = scores.map(score => Math.exp(score - max));
  const sum = weights.reduce((a, b) => a + b, 0);
  answer.max[row] = max;
  answer.sum[row] = sum;
  for (let d = 0; d < dimV; d++) {
    const total = weights.reduce((a, w, token) => a + w * values[(kvHead * capacity + token) * dimV + d]!, 0);
    answer.output[row * dimV + d] = total / sum;
  }
}
