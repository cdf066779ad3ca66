/** What compression costs and saves over a text. Returns rows, prints nothing. */
export {type CachedShape, cacheBytes, cacheBytesPerToken} from './cache_bytes.js';
export {EpochEvaluation, type EpochCallbackOptions, type EpochRow, epochCallback} from './epoch_callback.js';
export {type ComparedModel, type EvaluateOptions, type EvaluatedModel, evaluate} from './evaluate.js';
export {type MonitorOptions, monitor} from './monitor/monitor.js';
export type {MonitorMoment, MonitorOverall, MonitorReport, MonitorRow} from './monitor/report.js';
export {policyLabel} from './policy_label.js';
export * from './ranks/index.js';
export type {EvaluationReport, EvaluationRow} from './report.js';
export {textIds} from './text.js';
