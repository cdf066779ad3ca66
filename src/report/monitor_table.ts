import type {MonitorOverall, MonitorRow} from '../evaluate/index.js';
import type {NamedMonitorReport} from './monitor_charts.js';
import {driftText} from '../evaluate/index.js';
import {backendText} from './report_table.js';
import {type NamedColumns, type TableOptions, columnsOf, tableText} from './table.js';
import {outputWidth} from './terminal.js';
import {byteSize, count, counted, fixed, percent, small, timesSmaller} from '../../base/units.js';
import {wrappedText} from './wrap.js';

/** The columns of a monitor's table, the most important first. */
export const monitorColumnNames = [
  'depth',
  'policy',
  'bytes',
  'float32',
  'keyError',
  'valueError',
  'outputError',
  'predicted',
  'keyRank',
  'valueRank',
  'evicted',
  'held',
  'dense',
  'entropy',
  'renyi2',
  'blocks',
  'updates',
  'unread',
] as const;

type Row = MonitorRow | (MonitorOverall & {readonly depth: 'all'; readonly policy: ''});

/** Returns the table of a monitor's report: a row for each depth, and one for all depths. */
export function monitorTable(report: NamedMonitorReport, options: TableOptions = {}): string {
  const {model, text, tokens, chunk, plan, rows, overall, drift} = report;
  const {width = outputWidth()} = options;
  return [
    wrappedText(
      `${model} on ${counted(tokens, 'token')} of ${text}, ${counted(chunk, 'token')} per pass; ${backendText(report)}.\nPlan: ${plan}`,
      width,
    ),
    '',
    tableText(monitorColumns(report), [...rows, {...overall, depth: 'all', policy: ''}], options),
    '',
    wrappedText(
      'Cache: all bytes stored; the last row includes what depths share, such as rotary tables. Float32: the exact keys and values of ' +
        'all tokens as float32 numbers. Errors are relative (Frobenius): K and V over the tokens held at the end, the attention ' +
        'output compared with exact attention. Ranks: dimensions that hold 99 % of the energy of the exact K (before rotation) and ' +
        'V, means over heads. Evicted: tokens per head. KL predicted: nats per token, by the calibration of the model.',
      width,
    ),
    ...(drift ? ['', wrappedText(driftText(drift), width)] : []),
  ].join('\n');
}

function monitorColumns({rows, ranks}: NamedMonitorReport) {
  const dim = ranks[0]?.dim ?? 0;
  const isMixed = rows.some(({policy}) => policy !== rows[0]!.policy);
  const columns: NamedColumns<(typeof monitorColumnNames)[number], Row> = {
    depth: {head: 'depth', cell: row => String(row.depth)},
    policy: {
      head: 'policy',
      cell: row => row.policy,
      align: 'left',
      extra: !isMixed,
    },
    bytes: {head: 'cache', cell: row => byteSize(row.compressedBytes)},
    float32: {head: 'than float32', cell: row => timesSmaller(1 / row.ratioToFloat32)},
    keyError: {head: 'K error', cell: row => percent(row.keyError)},
    valueError: {head: 'V error', cell: row => percent(row.valueError)},
    outputError: {head: 'output error', cell: row => percent(row.outputError)},
    predicted: {
      head: 'KL predicted',
      cell: ({predictedKl}) => (predictedKl === undefined ? '-' : small(predictedKl)),
      extra: rows.every(({predictedKl}) => predictedKl === undefined),
    },
    keyRank: {head: `K rank (of ${dim})`, cell: row => fixed(row.keyRank, 1)},
    valueRank: {head: `V rank (of ${dim})`, cell: row => fixed(row.valueRank, 1)},
    evicted: {head: 'evicted (tokens)', cell: row => count(row.evictedTokens)},
    held: {head: 'held (tokens)', cell: row => count(row.tokensHeld), extra: true},
    dense: {head: 'float32', cell: row => byteSize(row.float32Bytes), extra: true},
    entropy: {head: 'entropy (nats)', cell: row => fixed(row.entropy, 2), extra: true},
    renyi2: {head: 'Renyi-2 (nats)', cell: row => fixed(row.renyi2Entropy, 2), extra: true},
    blocks: {head: 'blocks', cell: row => count(row.blocksEncoded), extra: true},
    updates: {head: 'updates', cell: row => count(row.svdUpdates), extra: true},
    unread: {
      head: 'V unread',
      cell: ({unreadValues}) => (unreadValues === undefined ? '-' : percent(unreadValues)),
      extra: rows.every(({unreadValues}) => unreadValues === undefined),
    },
  };
  return columnsOf(monitorColumnNames, columns);
}
