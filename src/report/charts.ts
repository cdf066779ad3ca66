/**
 * The charts of the command line as SVG text, for notebooks, pages and reports. They are drawn by the optional peer dependencies vega and
 * vega-lite; each function throws a BackendError if these are not installed.
 */
export {chartSvg as evaluationChart} from './evaluation_chart.js';
export type {Asked} from './asked.js';
export type {NamedCertificate} from './certificate_table.js';
export type {EvaluationReport} from './report_table.js';
export {type HeatCell, type HeatMap, heatMapSvg} from './heat_map.js';
export {type LineAxis, type LineChart, type LinePoint, lineChartSvg} from './line_chart.js';
