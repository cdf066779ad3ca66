import {View, parse} from 'vega';
import {type Config, type TopLevelSpec, compile} from 'vega-lite';

/** How all charts look. */
export const chartConfig: Config = {
  font: 'Helvetica, Arial, sans-serif',
  view: {stroke: null},
  axis: {gridColor: '#eeeeee'},
};

/** A Vega-Lite chart drawn as SVG, without a canvas. */
export async function svgOf(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile(spec).spec), {renderer: 'none'});
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
