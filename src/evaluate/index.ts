/** What compression costs and saves over a text. Returns rows, prints nothing. */
export {type CachedShape, cacheBytesPerToken} from './cache_bytes.js';
export {type EvaluateOptions, type EvaluatedModel, evaluate} from './evaluate.js';
export {policyLabel} from './policy_label.js';
export type {EvaluationReport, EvaluationRow} from './report.js';
export {textIds} from './text.js';
