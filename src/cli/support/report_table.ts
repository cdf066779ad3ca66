import type {EvaluationReport, EvaluationRow} from '../../evaluate/index.js';
import {type Column, tableText} from './table.js';
import {byteSize, change, count, short, small, timesSmaller} from './units.js';

/** An evaluation as a table, with what it was measured on above it. */
export function reportTable(report: EvaluationReport): string {
  return [reportHeading(report), tableText(reportColumns(report), report.rows), reportNote].join('\n');
}

/** What was measured, on what. */
export function reportHeading({model, text, tokens, step, backend, machine}: EvaluationReport): string {
  const on = machine === undefined ? '' : ` on ${machine}`;
  return `${model} on ${count(tokens)} tokens of ${text}, ${count(step)} at a time; ${backend}${on}`;
}

export const reportNote =
  'Perplexity ± its standard error; KL divergence from the full cache; bytes/token and sizes of the cache, all of it; peak\n' +
  'memory of tensors beside the weights, the logits of a step included.';

/** The columns of an evaluation; its first row is the full cache. */
export function reportColumns({rows}: EvaluationReport): Column<EvaluationRow>[] {
  const full = rows[0]!;
  return [
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
  ];
}
