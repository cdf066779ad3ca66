import type {TopLevelSpec} from 'vega-lite';
import {chartConfig, svgOf} from './svg.js';

/** A point of a line. */
export interface LinePoint {
  /** The series of the point; series get colours in the order of their first points. */
  readonly series: string;
  readonly x: number;
  readonly y: number;
  /** Separates the points of one series into several lines. Default: one line. */
  readonly part?: number;
}

/** An axis of numbers. */
export interface LineAxis {
  readonly title: string;
  /** A d3-format such as `~%` or `,d`. Default: plain numbers. */
  readonly format?: string;
  /** Whether values are whole numbers, such as depths or epochs; the axis then spans them exactly. Default false. */
  readonly whole?: boolean;
  /** Whether the axis begins at zero. Default true. */
  readonly zero?: boolean;
}

export interface LineChart {
  readonly title: string;
  readonly subtitle?: string | readonly string[];
  readonly x: LineAxis;
  readonly y: LineAxis;
  /** CSS colours of the series, in order. Default: six colours, starting with blue. */
  readonly colours?: readonly string[];
  readonly points: readonly LinePoint[];
}

const width = 620;
const someColours = ['#1f5fa8', '#b33f00', '#5a9e4b', '#888888', '#8a4fa3', '#b08900'];

/** Draws lines through points as SVG: curves over epochs, tokens or depths. */
export function lineChartSvg({
  title,
  subtitle,
  x,
  y,
  colours = someColours,
  points,
}: LineChart): Promise<string> {
  const series = [...new Set(points.map(point => point.series))];
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    ...{background: 'white', padding: 12, width, height: 300},
    title: {
      text: title,
      ...(subtitle !== undefined && {subtitle: [subtitle].flat()}),
      anchor: 'start',
      offset: 14,
    },
    data: {values: [...points]},
    mark: {type: 'line', point: {size: 32}, strokeWidth: 1.8},
    encoding: {
      x: {
        field: 'x',
        type: 'quantitative',
        ...axisOf(
          x,
          points.map(point => point.x),
        ),
      },
      y: {
        field: 'y',
        type: 'quantitative',
        ...axisOf(
          y,
          points.map(point => point.y),
        ),
      },
      color: {
        field: 'series',
        type: 'nominal',
        scale: {domain: series, range: series.map((_, i) => colours[i % colours.length]!)},
        legend: series.length > 1 ? legendOf(series) : null,
      },
      detail: {field: 'part'},
    },
    config: chartConfig,
  };
  return svgOf(spec);
}

/** The legend below the chart. */
const legendOf = (series: readonly string[]) =>
  ({
    title: null,
    orient: 'bottom',
    labelLimit: 0,
    columns: legendColumns(series),
    symbolType: 'stroke',
    symbolStrokeWidth: 3,
  }) as const;

/** The number of labels that fit side by side under the chart, at six pixels per letter. */
function legendColumns(labels: readonly string[]): number {
  const longest = Math.max(...labels.map(({length}) => length));
  return Math.max(1, Math.min(3, Math.floor(width / (6 * longest + 40))));
}

function axisOf({title, format, whole = false, zero = true}: LineAxis, values: readonly number[]) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const axis = {title, format};
  if (!whole) return {scale: {zero}, axis: {...axis, tickCount: 7}};
  return {
    scale: {domain: [least, Math.max(least + 1, most)], nice: false},
    axis: {...axis, tickMinStep: 1, tickCount: Math.min(most - least + 1, 16), grid: false},
  };
}
