import type {TopLevelSpec} from 'vega-lite';
import {placeLabels} from './place_labels.js';
import type {EvaluationReport} from './report_table.js';
import {chartConfig, svgOf} from './svg.js';
import {count, short} from '../../base/units.js';

const width = 640;
const height = 400;

/**
 * Draws an evaluation as SVG: perplexity against bytes per token of the cache. The standard error is in the subtitle only: all plans are
 * evaluated on the same text and share most of the error, so error bars would hide their differences.
 */
export function chartSvg(report: EvaluationReport): Promise<string> {
  return svgOf(chartSpec(report));
}

function chartSpec({model, text, tokens, rows}: EvaluationReport): TopLevelSpec {
  const points = rows.map(({plan, bytesPerToken, perplexity}, index) => ({
    plan,
    bytes: bytesPerToken,
    perplexity,
    kind: index === 0 ? 'full' : 'plan',
  }));
  const x = axisOf(
    points.map(({bytes}) => bytes),
    width,
  );
  const y = axisOf(
    points.map(({perplexity}) => perplexity),
    height,
  );
  const places = placeLabels(
    points.map(({bytes, perplexity, plan}) => ({
      x: x.toPixel(bytes),
      y: height - y.toPixel(perplexity),
      text: plan,
    })),
    width,
    height,
  );
  const labels = points.map((point, i) => ({
    ...point,
    labelX: x.fromPixel(places[i]!.x),
    labelY: y.fromPixel(height - places[i]!.y),
  }));
  const ink = {
    field: 'kind',
    scale: {domain: ['full', 'plan'], range: ['#b33f00', '#1f5fa8']},
    legend: null,
  } as const;
  const xAxis = {scale: x.scale, axis: {title: 'cache, bytes per token', format: ',.0f', tickCount: 8}};
  const yAxis = {scale: y.scale, axis: {title: 'perplexity', tickCount: 8}};
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    width,
    height,
    title: {
      text: `${model}: perplexity against the size of the cache`,
      subtitle: `${count(tokens)} tokens of ${text}; standard error of the full cache's perplexity ${short(rows[0]?.perplexityStderr ?? NaN)}`,
      anchor: 'start',
      offset: 14,
    },
    data: {values: labels},
    layer: [
      {
        mark: {type: 'rule', color: '#bbbbbb', strokeWidth: 0.7},
        encoding: {
          x: {field: 'bytes', type: 'quantitative', ...xAxis},
          y: {field: 'perplexity', type: 'quantitative', ...yAxis},
          x2: {field: 'labelX'},
          y2: {field: 'labelY'},
        },
      },
      {
        // white outlines keep lines from crossing letters
        mark: {type: 'text', fontSize: 11, stroke: 'white', strokeWidth: 4, strokeJoin: 'round'},
        encoding: labelEncoding(xAxis, yAxis),
      },
      {
        mark: {type: 'point', filled: true, size: 60, opacity: 1},
        encoding: {
          x: {field: 'bytes', type: 'quantitative', ...xAxis},
          y: {field: 'perplexity', type: 'quantitative', ...yAxis},
          color: {...ink, type: 'nominal'},
        },
      },
      {
        mark: {type: 'text', fontSize: 11},
        encoding: {...labelEncoding(xAxis, yAxis), color: {...ink, type: 'nominal'}},
      },
    ],
    config: chartConfig,
  };
}

function labelEncoding<X extends object, Y extends object>(xAxis: X, yAxis: Y) {
  return {
    x: {field: 'labelX', type: 'quantitative', ...xAxis},
    y: {field: 'labelY', type: 'quantitative', ...yAxis},
    text: {field: 'plan'},
  } as const;
}

interface Axis {
  readonly scale: {readonly type: 'log' | 'linear'; readonly domain: [number, number]; readonly nice: false};
  /** Distance of a value from the start of the axis. */
  toPixel(value: number): number;
  fromPixel(pixel: number): number;
}

/**
 * A linear axis with margins at both ends, whose range is at least five percent, so that noise does not look like a trend; logarithmic if
 * the largest value is at least four times the smallest.
 */
function axisOf(values: readonly number[], length: number): Axis {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const isLog = least > 0 && most / least >= 4;
  const [forward, back] = isLog ? [Math.log, Math.exp] : [(value: number) => value, (value: number) => value];
  const span = Math.max(forward(most) - forward(least), isLog ? 0 : 0.05 * Math.abs(most), Number.MIN_VALUE);
  const middle = (forward(least) + forward(most)) / 2;
  const [start, end] = [middle - 0.62 * span, middle + 0.62 * span];
  return {
    scale: {type: isLog ? 'log' : 'linear', domain: [back(start), back(end)], nice: false},
    toPixel: value => ((forward(value) - start) / (end - start)) * length,
    fromPixel: pixel => back(start + (pixel / length) * (end - start)),
  };
}
