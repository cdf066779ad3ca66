import {parse, View} from 'vega';
import {compile, type TopLevelSpec} from 'vega-lite';
import type {Row} from './row.js';

/** How many times as fast as dense each codec decodes, over the length of the past, a panel for each shape: SVG. */
export async function decodeChart(rows: readonly Row[]): Promise<string> {
  const spec: TopLevelSpec = {
    data: {values: rows.filter(row => row.op === 'decode' && row.timesDense !== undefined)},
    facet: {column: {field: 'shape', type: 'nominal', title: null}},
    spec: {
      width: 320,
      height: 240,
      mark: {type: 'line', point: true},
      encoding: {
        x: {
          field: 'tokens',
          type: 'quantitative',
          scale: {type: 'log', base: 2},
          title: 'tokens of the past',
        },
        y: {
          field: 'timesDense',
          type: 'quantitative',
          scale: {type: 'log', base: 2},
          title: 'times as fast as dense float32',
        },
        color: {field: 'codec', type: 'nominal', scale: {scheme: 'tableau20'}, legend: {labelLimit: 240}},
      },
    },
  };
  const view = new View(parse(compile(spec).spec), {renderer: 'none'});
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
