import {count, counted, percent, small, timesSmaller} from '../../base/units.js';
import type {WritingDivergence, WritingRow} from '../evaluate/index.js';
import {type LineChart, lineChartSvg} from './line_chart.js';
import {type Column, tableText} from './table.js';
import {outputWidth} from './terminal.js';
import {wrappedText} from './wrap.js';

/** Returns the divergence along a written text as a table: a row for each plan, a column for each part. */
export function writingText(divergence: WritingDivergence, width = outputWidth()): string {
  return [
    wrappedText(`${writingHeading(divergence)}.`, width),
    '',
    tableText(writingColumns(divergence), divergence.rows, {width, elsewhere: '--json has all'}),
    '',
    wrappedText(writingNote, width),
  ].join('\n');
}

export function writingHeading({tokens, promptTokens, temperature, seed}: WritingDivergence): string {
  return `Writing: ${counted(tokens, 'token')} after a prompt of ${count(promptTokens)}, sampled from the full cache at temperature ${temperature}, seed ${count(seed)}`;
}

export const writingNote =
  'KL divergence of the next token from the full cache, nats, while each cache takes the tokens that the full cache writes: means over parts of the text.';

export function writingColumns({rows}: WritingDivergence): Column<WritingRow>[] {
  const spans = rows[0]?.spans ?? [];
  return [
    {name: 'plan', head: 'plan', cell: ({plan}) => plan, align: 'left'},
    ...spans.map(({from, to}, i) => ({
      name: `${from}-${to}`,
      head: `${count(from)} to ${count(to)}`,
      cell: (row: WritingRow) => small(row.spans[i]!.klDivergence),
    })),
    {name: 'all', head: 'all', cell: ({klDivergence}) => small(klDivergence)},
    {
      name: 'top1',
      head: 'same top token at the end',
      cell: row => percent(row.spans.at(-1)!.top1Agreement, 0),
    },
    {name: 'float32', head: 'than float32', cell: ({ratioToFloat32}) => timesSmaller(1 / ratioToFloat32)},
  ];
}

/** Draws the divergence of each plan over the written tokens as SVG. */
export function writingChart(model: string, divergence: WritingDivergence): Promise<string> {
  const points: LineChart['points'] = divergence.rows.flatMap(({plan, spans}) =>
    spans.map(({from, to, klDivergence}) => ({series: plan, x: (from + to) / 2, y: klDivergence})),
  );
  return lineChartSvg({
    title: `${model}: divergence while it writes`,
    subtitle: writingHeading(divergence),
    x: {title: 'written tokens', format: ',d'},
    y: {title: 'KL divergence, nats'},
    points,
  });
}
