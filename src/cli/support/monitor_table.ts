import type {MonitorOverall, MonitorRow} from '../../evaluate/index.js';
import type {NamedMonitorReport} from './monitor_charts.js';
import {type Column, tableText} from './table.js';
import {byteSize, count, timesSmaller} from './units.js';

type Row = MonitorRow | (MonitorOverall & {readonly depth: 'all'});

/** A monitor's report as a table: a row for each depth, one for all. */
export function monitorTable({
  model,
  text,
  tokens,
  step,
  plan,
  backend,
  rows,
  overall,
  ranks,
}: NamedMonitorReport): string {
  const dim = ranks[0]?.dim ?? 0;
  const isMixed = rows.some(({policy}) => policy !== rows[0]!.policy);
  const policy: Column<Row> = {
    head: 'policy',
    cell: row => (row.depth === 'all' ? '' : row.policy),
    align: 'left',
  };
  const columns: Column<Row>[] = [
    {head: 'depth', cell: row => String(row.depth)},
    ...(isMixed ? [policy] : []),
    {head: 'float32', cell: row => byteSize(row.float32Bytes)},
    {head: 'cache', cell: row => byteSize(row.compressedBytes)},
    {head: 'than float32', cell: row => timesSmaller(1 / row.ratioToFloat32)},
    {head: 'tokens held', cell: row => count(row.tokensHeld)},
    {head: `K rank (of ${dim})`, cell: row => row.keyRank.toFixed(1)},
    {head: `V rank (of ${dim})`, cell: row => row.valueRank.toFixed(1)},
    {head: 'entropy (nats)', cell: row => row.entropy.toFixed(2)},
    {head: 'Renyi-2 (nats)', cell: row => row.renyi2Entropy.toFixed(2)},
    {head: 'K error', cell: row => percent(row.keyError)},
    {head: 'V error', cell: row => percent(row.valueError)},
    {head: 'output error', cell: row => percent(row.outputError)},
    {head: 'seals', cell: row => count(row.seals)},
    {head: 'folds', cell: row => count(row.folds)},
    {head: 'evicted', cell: row => count(row.evictedTokens)},
  ];
  return [
    `${model} on ${count(tokens)} tokens of ${text}, ${count(step)} at a time; ${backend}`,
    `Plan: ${plan}`,
    tableText(columns, [...rows, {...overall, depth: 'all'}]),
    'Ranks hold 99 % of the energy of the exact K (before rotation) and V, means over heads. Errors are relative (Frobenius):',
    'of K and V over the tokens held at the end, of the attention output against the exact past. Evicted: tokens of each head.',
  ].join('\n');
}

function percent(share: number): string {
  if (share === 0) return '0 %';
  const value = 100 * share;
  return `${value < 0.1 ? value.toPrecision(1) : value.toFixed(value < 10 ? 2 : 1)} %`;
}
