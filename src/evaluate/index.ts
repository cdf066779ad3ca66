/** Measures compression on texts. These functions return numbers and print nothing. */
export {
  type CertifyOptions,
  type Certificate,
  type DepthCertificate,
  certify,
} from './certificate/certify.js';
export {driftText} from './certificate/drift_text.js';
export type {DriftSummary} from './certificate/drift_summary.js';
export {type CachedShape, cacheBytes, cacheBytesPerToken} from './cache_bytes.js';
export type {Windowed} from './held_tokens.js';
export {EpochEvaluation, type EpochCallbackOptions, type EpochRow, epochCallback} from './epoch_callback.js';
export {type ComparedModel, type EvaluateOptions, evaluate} from './evaluate.js';
export {Evaluation, type EvaluationResult, type EvaluationRow, type EvaluationSummary} from './evaluation.js';
export {type MonitorOptions, monitor} from './monitor/monitor.js';
export type {MonitorMoment, MonitorOverall, MonitorReport, MonitorRow} from './monitor/report.js';
export {planLabel} from './plan_label.js';
export * from './ranks/index.js';
export {type PowerLaw} from './power_law.js';
export * from './tasks/index.js';
export {type MeasuredPoint, type TuneOptions, type TunePoint, type Tuning, tune} from './tune.js';
export {
  type WritingDivergence,
  type WritingOptions,
  type WritingRow,
  type WritingSpan,
  writingDivergence,
} from './writing_divergence.js';
export {type ModelLike, type ModelParts, type TextLike, textIds} from '../../models/model_like.js';
export type {ProgressOptions} from '../../models/progress.js';
