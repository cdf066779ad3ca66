import type {EvaluationReport} from '../../evaluate/index.js';
import {tableText} from './table.js';
import {byteSize, change, count, short, small, timesSmaller} from './units.js';

/** An evaluation as a table, with what it was measured on above it. */
export function reportTable({model, text, tokens, step, backend, machine, rows}: EvaluationReport): string {
  const full = rows[0]!;
  const table = tableText(
    [
      {head: 'policy', cell: row => row.policy, align: 'left'},
      {head: 'perplexity', cell: row => `${row.perplexity.toFixed(2)} ± ${short(row.perplexityStderr)}`},
      {head: 'than full', cell: row => (row === full ? '-' : change(row.perplexity, full.perplexity))},
      {head: 'KL (nats)', cell: row => small(row.klDivergence)},
      {head: 'same top token', cell: row => `${(100 * row.top1Agreement).toFixed(1)} %`},
      {head: 'bytes/token', cell: row => count(row.bytesPerToken)},
      {head: 'than float32', cell: row => timesSmaller(1 / row.ratioToFloat32)},
      {head: 'than float16', cell: row => timesSmaller(1 / row.ratioToFloat16)},
      {head: 'prefill (tokens/s)', cell: row => short(row.prefillTokensPerSecond)},
      {head: 'decode (tokens/s)', cell: row => short(row.decodeTokensPerSecond)},
      {head: 'peak memory', cell: row => byteSize(row.peakBytes)},
    ],
    rows,
  );
  return [
    `${model} on ${count(tokens)} tokens of ${text}, ${count(step)} at a time; ${backend}${machine === undefined ? '' : ` on ${machine}`}`,
    table,
    'Perplexity ± its standard error; KL divergence from the full cache; bytes/token and sizes of the cache, all of it; peak\n' +
      'memory of tensors beside the weights, the logits of a step included.',
  ].join('\n');
}
