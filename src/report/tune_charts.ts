import type {TransformWidths} from '../../cache/codecs/transform_profile/widths.js';
import type {Tuning} from '../evaluate/tune.js';
import {counted, fixed} from '../../base/units.js';
import {type HeatCell, heatMapSvg} from './heat_map.js';
import {lineChartSvg} from './line_chart.js';

/** Draws the curve of size against divergence, predicted and measured, as SVG. */
export function tuneCurveSvg(name: string, text: string, {points, tokens}: Tuning): Promise<string> {
  const log = (kl: number) => Math.log10(kl);
  return lineChartSvg({
    title: `${name}: what fewer bytes cost`,
    subtitle: `KL divergence from the full cache on ${counted(tokens, 'token')} of ${text}`,
    x: {title: 'bytes of a token in a long text, share of float32', format: '.2f'},
    y: {title: 'log10 of KL (nats per token)', zero: false},
    points: [
      ...points.flatMap(({ratio, predictedKl}) =>
        predictedKl === undefined ? [] : [{series: 'predicted', x: ratio, y: log(predictedKl)}],
      ),
      ...points.flatMap(({ratio, measured}) =>
        measured ? [{series: 'measured', x: ratio, y: log(measured.klDivergence)}] : [],
      ),
    ],
  });
}

/** Draws the bits of each group of channels by depth and head as SVG. */
export function widthsSvg(name: string, {depths, bits}: TransformWidths): Promise<string> {
  const panelOf = (side: 'keys' | 'values', head: number) => `${side}, head ${head}`;
  const cells = (side: 'keys' | 'values') =>
    Array.from({length: depths[0]![side].length}, (_, head) =>
      depths.flatMap((depth, index) =>
        depth[side][head]!.map((width, group): HeatCell => ({
          panel: panelOf(side, head),
          column: group,
          depth: index,
          share: width / 8,
          label: String(width),
        })),
      ),
    ).flat();
  return heatMapSvg({
    title: `${name}: bits by depth, head and channel`,
    subtitle: `groups of 8 channels, those that matter most first; tokens older than the newest eighth, ${fixed(bits, 2)} bits per number`,
    columnTitle: 'group',
    legendTitle: 'share of 8 bits',
    cells: [...cells('keys'), ...cells('values')],
  });
}
