import type {TopLevelSpec} from 'vega-lite';
import {chartConfig, svgOf} from './svg.js';

/** One cell of a heat map. */
export interface HeatCell {
  /** The panel of the cell; panels are drawn side by side in the order of their first cells. */
  readonly panel: string;
  /** Horizontal position: a head, or a kind of weight. */
  readonly column: string | number;
  readonly depth: number;
  /** Determines the colour, from 0 to 1. */
  readonly share: number;
  /** The text in the cell. */
  readonly label: string;
}

export interface HeatMap {
  readonly title: string;
  readonly subtitle: string;
  readonly columnTitle: string;
  readonly legendTitle: string;
  /** The share that has the darkest colour. Default 1. */
  readonly most?: number;
  readonly cells: readonly HeatCell[];
}

/** Cells fit three digits, and the words below them if columns are named by words. */
const cellSize = {width: 30, wordWidth: 42, height: 17};

/** Draws a heat map as SVG: depths from top to bottom, dark for large shares. */
export async function heatMapSvg(map: HeatMap): Promise<string> {
  return svgOf(heatMapSpec(map));
}

function heatMapSpec({title, subtitle, cells, ...rest}: HeatMap): TopLevelSpec {
  const panels = [...new Set(cells.map(({panel}) => panel))];
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    title: {text: title, subtitle, anchor: 'start', offset: 12},
    spacing: 14,
    hconcat: panels.map((panel, index) =>
      panelSpec(
        panel,
        cells.filter(inside => inside.panel === panel),
        index === 0,
        rest,
      ),
    ),
    config: chartConfig,
  };
}

function panelSpec(
  title: string,
  cells: readonly HeatCell[],
  isFirst: boolean,
  {columnTitle, legendTitle, most = 1}: Pick<HeatMap, 'columnTitle' | 'legendTitle' | 'most'>,
) {
  const bare = {ticks: false, domain: false} as const;
  const x = {
    field: 'column',
    type: 'ordinal',
    sort: null,
    axis: {title: columnTitle, labelAngle: 0, ...bare},
  } as const;
  const y = {
    field: 'depth',
    type: 'ordinal',
    axis: isFirst ? {title: 'depth', ...bare} : null,
  } as const;
  return {
    title: {text: title, fontSize: 12, anchor: 'middle' as const},
    data: {values: [...cells]},
    width: {
      step: cells.every(({column}) => typeof column === 'number') ? cellSize.width : cellSize.wordWidth,
    },
    height: {step: cellSize.height},
    layer: [
      {
        mark: {type: 'rect', stroke: 'white', strokeWidth: 1} as const,
        encoding: {
          x,
          y,
          color: {
            field: 'share',
            type: 'quantitative',
            scale: {domain: [0, most], range: ['#f3f7fb', '#9cc3e0', '#1f5fa8', '#0b2545'], clamp: true},
            legend: {title: legendTitle, format: '.0%', titleLimit: 240, gradientLength: 160},
          } as const,
        },
      },
      {
        mark: {type: 'text', fontSize: 10} as const,
        encoding: {
          x,
          y,
          text: {field: 'label'},
          color: {condition: {test: `datum.share > ${0.5 * most}`, value: 'white'}, value: '#222222'},
        },
      },
    ],
  };
}
