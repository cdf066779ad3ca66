import type {EvaluationResult, EvaluationRow} from '../evaluate/index.js';
import type {Asked} from './asked.js';
import {type NamedCertificate} from './certificate_table.js';
import {driftText} from '../evaluate/index.js';
import {type Column, type NamedColumns, type TableOptions, columnsOf, tableText} from './table.js';
import {outputWidth} from './terminal.js';
import {
  byteSize,
  change,
  count,
  counted,
  fixed,
  percent,
  short,
  small,
  timesSmaller,
} from '../../base/units.js';
import {wrappedText} from './wrap.js';

/** An evaluation with the names of model, text, backend and machine. */
export interface EvaluationReport extends EvaluationResult, Asked {
  readonly model: string;
  /** The model whose full cache is the first row, if it is not `model`. */
  readonly against?: string;
  readonly text: string;
  readonly backend: string;
  /** Of wasm: how many threads ran its kernels. */
  readonly threads?: number;
  /** The machine on which speeds were measured. */
  readonly machine?: string;
  /** What plans were expected to cost and do cost, depth by depth. Default: none. */
  readonly certificates?: readonly NamedCertificate[];
}

/** The columns of an evaluation, the most important first. */
export const reportColumnNames = [
  'plan',
  'perplexity',
  'change',
  'bytes',
  'float32',
  'kl',
  'top1',
  'decode',
  'predicted',
  'error',
  'changeError',
  'prefill',
  'peak',
  'float16',
] as const;

/** Returns an evaluation as a table, below a heading that names model, text and machine. */
export function reportTable(report: EvaluationReport, options: TableOptions = {}): string {
  const {width = outputWidth()} = options;
  return [
    wrappedText(`${reportHeading(report)}.`, width),
    '',
    tableText(reportColumns(report), report.rows, options),
    '',
    wrappedText(reportNote(report), width),
    ...driftWarnings(report).flatMap(warning => ['', wrappedText(warning, width)]),
  ].join('\n');
}

/** A sentence for each plan whose stored tokens have left the calibration. */
export function driftWarnings({rows}: EvaluationReport): string[] {
  return rows.flatMap(({plan, drift}) => (drift?.hasLeft === true ? [`${plan}: ${driftText(drift)}`] : []));
}

/** Returns one line that names model, text, backend and machine. */
export function reportHeading(report: EvaluationReport): string {
  const {model, against, text, tokens, chunk, machine} = report;
  const on = machine === undefined ? '' : ` on ${machine}`;
  const measured = against === undefined ? model : `${model} against ${against}`;
  return `${measured} on ${counted(tokens, 'token')} of ${text}, ${counted(chunk, 'token')} per pass; ${backendText(report)}${on}`;
}

/** A backend and its threads: `wasm, 2 threads`. */
export function backendText({backend, threads}: Pick<EvaluationReport, 'backend' | 'threads'>): string {
  return threads === undefined ? backend : `${backend}, ${counted(threads, 'thread')}`;
}

/** The meaning of the columns and their baselines. */
export function reportNote({model, against}: EvaluationReport): string {
  const full = against === undefined ? 'the full cache' : `the full cache of ${against}`;
  const float32 = against === undefined ? `the full cache of ${model}` : full;
  return (
    `Perplexity ± its standard error, and its change from that of ${full}. KL divergence from ${full}, and how often both have the same ` +
    `most probable token. Bytes/token: all bytes of the cache / its tokens. Float32: ${float32} as float32 numbers. ` +
    'KL predicted: by the calibration of the model. ' +
    'Peak memory: all tensors except the weights, with the logits of a pass.'
  );
}

/** The columns of an evaluation; its first row is the full cache. */
export function reportColumns({rows, against}: EvaluationReport): Column<EvaluationRow>[] {
  const full = rows[0]!;
  const columns: NamedColumns<(typeof reportColumnNames)[number], EvaluationRow> = {
    plan: {
      head: against === undefined ? 'plan' : 'model, plan',
      cell: row => row.plan,
      align: 'left',
    },
    perplexity: {
      head: 'perplexity',
      cell: row => `${fixed(row.perplexity, 2)} ± ${short(row.perplexityStderr)}`,
    },
    change: {head: 'than full', cell: row => (row === full ? '-' : change(row.perplexity, full.perplexity))},
    bytes: {head: 'bytes/token', cell: row => count(row.bytesPerToken)},
    float32: {head: 'than float32', cell: row => timesSmaller(1 / row.ratioToFloat32)},
    kl: {head: 'KL (nats)', cell: row => small(row.klDivergence)},
    top1: {head: 'same top token', cell: row => percent(row.top1Agreement, 1)},
    decode: {head: 'decode (tokens/s)', cell: row => short(row.decodeTokensPerSecond)},
    predicted: {
      head: 'KL predicted',
      cell: ({predictedKl}) => (predictedKl === undefined ? '-' : small(predictedKl)),
      extra: true,
    },
    error: {head: 'error of KL', cell: row => small(row.klStderr), extra: true},
    changeError: {head: 'error of change', cell: row => percent(row.changeStderr, 2), extra: true},
    prefill: {head: 'prefill (tokens/s)', cell: row => short(row.prefillTokensPerSecond), extra: true},
    peak: {head: 'peak memory', cell: row => byteSize(row.peakBytes), extra: true},
    float16: {head: 'than float16', cell: row => timesSmaller(1 / row.ratioToFloat16), extra: true},
  };
  return columnsOf(reportColumnNames, columns);
}
