import {charts} from '../docs_tables/charts.js';

/** Colours of the charts that follow the page's theme. */
const themed: readonly (readonly [from: RegExp, to: string])[] = [
  [/fill="white"/g, 'fill="none"'],
  [/stroke="white"/g, 'stroke="var(--color-background)"'],
  [/stroke="#(?:ddd|eeeeee)"/g, 'stroke="var(--color-accent)"'],
  [/"(?:black|#000|#000000)"/g, '"currentColor"'],
  [/"#1f5fa8"/g, '"#2f74c0"'], // reads on dark, too
  [/ width="(\d+)" height="(\d+)"(?= viewBox)/, ''],
];

/** All charts as figures of HTML, a line each, by the table that they stand above. */
export async function chartsByTable(): Promise<ReadonlyMap<string, string>> {
  const figures = new Map<string, string>();
  for (const [table, draw] of Object.entries(charts)) {
    const drawn = await Promise.all(draw.map(chart => chart()));
    figures.set(table, drawn.map(figure).join(''));
  }
  return figures;
}

function figure(svg: string): string {
  const text = themed.reduce((result, [from, to]) => result.replace(from, to), svg.replaceAll('\n', ' '));
  return `<figure class="chart">${text}</figure>`;
}
