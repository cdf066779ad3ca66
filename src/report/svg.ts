import type {Config, TopLevelSpec} from 'vega-lite';
import {throwUnlessMissing} from '../../base/optional_package.js';
import {BackendError} from '../../base/errors.js';

/** The style of all charts. */
export const chartConfig: Config = {
  font: 'Helvetica, Arial, sans-serif',
  view: {stroke: null},
  axis: {gridColor: '#eeeeee'},
};

const otherwise = 'leave the charts out';

/**
 * Returns whether vega and vega-lite are installed. They only draw charts but would be most of what has to be installed, so they are
 * optional peer dependencies, loaded (in half a second) when a chart is drawn.
 *
 * @throws BackendError if one of them is installed but does not load.
 */
export async function hasCharts(): Promise<boolean> {
  return (await loadCharts()) !== undefined;
}

/** Undefined if one of them is not installed. */
async function loadCharts() {
  try {
    return {vega: await import('vega'), vegaLite: await import('vega-lite')};
  } catch (error) {
    throwUnlessMissing(error, ['vega', 'vega-lite'], otherwise);
    return undefined;
  }
}

export const chartInstallation = 'npm install vega@6 vega-lite@6';

/** @throws BackendError if charts cannot be drawn. Call it before a long measurement. */
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
 * Draws a Vega-Lite chart as SVG, without a canvas.
 * @throws BackendError if vega or vega-lite is not installed.
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
