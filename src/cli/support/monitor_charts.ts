import type {TopLevelSpec} from 'vega-lite';
import type {MonitorReport} from '../../evaluate/index.js';
import {type HeatCell, heatMapSvg} from './heat_map.js';
import {chartConfig, svgOf} from './svg.js';
import {byteSize, count, timesSmaller} from './units.js';

/** A monitor's report with what is needed to make it again. */
export interface NamedMonitorReport extends MonitorReport {
  readonly model: string;
  readonly text: string;
  /** Tokens of the text that went through. */
  readonly tokens: number;
  readonly step: number;
  readonly plan: string;
  readonly backend: string;
}

const size = {width: 620, height: 300};

/** Error of keys, values and attention output by depth, as SVG. */
export function errorChart({rows, ...named}: NamedMonitorReport): Promise<string> {
  const series = {keyError: 'keys stored', valueError: 'values stored', outputError: 'attention output'};
  const values = rows.flatMap(row =>
    Object.entries(series).map(([name, what]) => ({
      depth: row.depth,
      what,
      error: row[name as keyof typeof series],
    })),
  );
  return svgOf({
    ...frame('Relative error by depth', named),
    data: {values},
    mark: {type: 'line', point: {size: 36}, strokeWidth: 1.8},
    encoding: {
      x: {
        field: 'depth',
        type: 'quantitative',
        scale: {domain: [0, Math.max(1, rows.length - 1)], nice: false},
        axis: {title: 'depth', tickMinStep: 1, tickCount: Math.min(rows.length, 16), grid: false},
      },
      y: {
        field: 'error',
        type: 'quantitative',
        scale: {zero: true},
        axis: {title: 'error / exact (Frobenius)', format: '~%', tickCount: 7},
      },
      color: colours(Object.values(series), ['#1f5fa8', '#5a9e4b', '#b33f00']),
    },
  });
}

/** The size of the cache as tokens come in, beside that of the full one, as SVG. */
export function bytesChart({timeline, overall, ...named}: NamedMonitorReport): Promise<string> {
  const [full, compressed] = ['full cache, float32', named.plan];
  const mebibytes = 2 ** 20;
  const values = timeline.flatMap(({text, tokens, float32Bytes, compressedBytes}) => [
    {text, tokens, what: full, size: float32Bytes / mebibytes},
    {text, tokens, what: compressed, size: compressedBytes / mebibytes},
  ]);
  const end = `${byteSize(overall.compressedBytes)} instead of ${byteSize(overall.float32Bytes)} at the end: ${timesSmaller(1 / overall.ratioToFloat32)}`;
  return svgOf({
    ...frame('Size of the cache as tokens come in', named, end),
    data: {values},
    mark: {type: 'line', point: {size: 30}, strokeWidth: 1.8},
    encoding: {
      x: {
        field: 'tokens',
        type: 'quantitative',
        scale: {zero: true, nice: false},
        axis: {title: 'tokens', format: ',d', tickCount: 8, grid: false},
      },
      y: {field: 'size', type: 'quantitative', axis: {title: 'cache, MiB', tickCount: 7}},
      color: colours([full, compressed], ['#888888', '#b33f00']),
      detail: {field: 'text'},
    },
  });
}

/** The effective ranks of exact keys and values by depth and head, as SVG. */
export function rankChart({ranks, model, text, tokens}: NamedMonitorReport): Promise<string> {
  const dim = ranks[0]?.dim ?? 0;
  return heatMapSvg({
    title: `${model}: effective rank of keys and values`,
    subtitle: `${count(tokens)} tokens of ${text}; dimensions with 99 % of the energy, of ${dim}; keys before their rotation`,
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

function frame(
  title: string,
  {model, text, tokens, plan}: Pick<NamedMonitorReport, 'model' | 'text' | 'tokens' | 'plan'>,
  more?: string,
): Pick<TopLevelSpec, '$schema' | 'background' | 'padding' | 'title' | 'config'> & typeof size {
  const on = `${plan} on ${count(tokens)} tokens of ${text}`;
  return {
    ...size,
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    title: {
      text: `${model}: ${title.charAt(0).toLowerCase()}${title.slice(1)}`,
      subtitle: more === undefined ? on : [on, more],
      anchor: 'start',
      offset: 14,
    },
    config: chartConfig,
  };
}

function colours(domain: string[], range: string[]) {
  return {
    field: 'what',
    type: 'nominal',
    scale: {domain, range},
    legend: {title: null, orient: 'bottom', labelLimit: 420, symbolType: 'stroke', symbolStrokeWidth: 3},
  } as const;
}
