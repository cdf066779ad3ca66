import type {Asked} from './asked.js';
import type {NamedCertificate} from './certificate_table.js';
import type {MonitorReport} from '../evaluate/index.js';
import {type HeatCell, heatMapSvg} from './heat_map.js';
import {lineChartSvg} from './line_chart.js';
import {byteSize, count, timesSmaller} from '../../base/units.js';

/** A report of `monitor` with the names of model, text and backend. */
export interface NamedMonitorReport extends MonitorReport, Asked {
  readonly model: string;
  readonly text: string;
  readonly backend: string;
  /** Of wasm: how many threads ran its kernels. */
  readonly threads?: number;
  /** What the plan was expected to cost and does cost, depth by depth. Default: none. */
  readonly certificates?: readonly NamedCertificate[];
}

/** Draws the relative errors of keys, values and attention output by depth as SVG. */
export function errorChart({rows, ...named}: NamedMonitorReport): Promise<string> {
  const series = {keyError: 'keys stored', valueError: 'values stored', outputError: 'attention output'};
  return lineChartSvg({
    title: `${named.model}: relative error by depth`,
    subtitle: measuredOn(named),
    x: {title: 'depth', whole: true},
    y: {title: 'error / exact (Frobenius)', format: '~%'},
    colours: ['#1f5fa8', '#5a9e4b', '#b33f00'],
    points: rows.flatMap(row =>
      Object.entries(series).map(([name, label]) => ({
        series: label,
        x: row.depth,
        y: row[name as keyof typeof series],
      })),
    ),
  });
}

/** Draws the sizes of the cache and of the full one over the number of tokens as SVG. */
export function bytesChart({timeline, overall, ...named}: NamedMonitorReport): Promise<string> {
  const mebibytes = 2 ** 20;
  const {float32Bytes, compressedBytes, ratioToFloat32} = overall;
  const end = `${byteSize(compressedBytes)} instead of ${byteSize(float32Bytes)} at the end: ${timesSmaller(1 / ratioToFloat32)}`;
  return lineChartSvg({
    title: `${named.model}: size of the cache by tokens`,
    subtitle: [measuredOn(named), end],
    x: {title: 'tokens', format: ',d'},
    y: {title: 'cache, MiB'},
    colours: ['#888888', '#b33f00'],
    points: timeline.flatMap(moment => [
      {
        series: 'full cache, float32',
        x: moment.tokens,
        y: moment.float32Bytes / mebibytes,
        part: moment.text,
      },
      {series: named.plan, x: moment.tokens, y: moment.compressedBytes / mebibytes, part: moment.text},
    ]),
  });
}

/** Draws the effective ranks of exact keys and values by depth and head as SVG. */
export function rankChart({ranks, model, text, tokens}: NamedMonitorReport): Promise<string> {
  const dim = ranks[0]?.dim ?? 0;
  return heatMapSvg({
    title: `${model}: effective rank of keys and values`,
    subtitle: `${count(tokens)} tokens of ${text}; dimensions that hold 99 % of the energy, of ${dim}; keys before rotation`,
    columnTitle: 'key head',
    legendTitle: `share of ${dim}`,
    cells: ranks.map(({feature, kvHead, depth, effectiveRank, dim: most}): HeatCell => ({
      panel: feature,
      column: kvHead,
      depth,
      share: effectiveRank / most,
      label: String(effectiveRank),
    })),
  });
}

const measuredOn = ({text, tokens, plan}: Pick<NamedMonitorReport, 'text' | 'tokens' | 'plan'>) =>
  `${plan} on ${count(tokens)} tokens of ${text}`;
