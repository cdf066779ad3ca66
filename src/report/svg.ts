import type {Config, TopLevelSpec} from 'vega-lite';
import {throwUnlessMissing} from '../../base/optional_package.js';
import {BackendError} from '../../base/errors.js';

/** How all charts look. */
export const chartConfig: Config = {
  font: 'Helvetica, Arial, sans-serif',
  view: {stroke: null},
  axis: {gridColor: '#eeeeee'},
};

const otherwise = 'leave the charts out';

/**
 * Whether vega and vega-lite are there. They draw the charts and nothing else, and are most of what would have to be installed: so
 * they are optional peers, loaded (in half a second) where a chart is wanted.
 *
 * @throws BackendError where one is there and does not load.
 */
export async function hasCharts(): Promise<boolean> {
  return (await loadCharts()) !== undefined;
}

/** Undefined where one is not installed. */
async function loadCharts() {
  try {
    return {vega: await import('vega'), vegaLite: await import('vega-lite')};
  } catch (error) {
    throwUnlessMissing(error, ['vega', 'vega-lite'], otherwise);
    return undefined;
  }
}

export const chartInstallation = 'npm install vega@6 vega-lite@6';

/** @throws BackendError where charts cannot be drawn: before minutes are spent on what one would show. */
export async function expectCharts(): Promise<void> {
  await loadNeededCharts();
}

async function loadNeededCharts() {
  const charts = await loadCharts();
  if (charts !== undefined) return charts;
  throw new BackendError(
    `Charts are drawn by vega and vega-lite, which are not installed: ${chartInstallation}, or ${otherwise}.`,
  );
}

/**
 * A Vega-Lite chart drawn as SVG, without a canvas.
 * @throws BackendError where vega or vega-lite is not installed.
 */
export async function svgOf(spec: TopLevelSpec): Promise<string> {
  const {
    vega: {View, parse},
    vegaLite: {compile},
  } = await loadNeededCharts();
  const view = new View(parse(compile(spec).spec), {renderer: 'none'});
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
