/**
 * Charts as SVG texts, as the command line draws them: for notebooks, pages and reports of your own. Drawn by the optional peers
 * vega and vega-lite; each function throws a BackendError where they are not installed.
 */
export {chartSvg as evaluationChart} from './evaluation_chart.js';
export type {EvaluationReport} from './report_table.js';
export {type HeatCell, type HeatMap, heatMapSvg} from './heat_map.js';
export {type LineAxis, type LineChart, type LinePoint, lineChartSvg} from './line_chart.js';
