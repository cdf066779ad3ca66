/** Attention in latents, found by calibration and merged into the weights. */
export {
  type AttentionAdapter,
  type AttentionParts,
  type DenseAttention,
  type DenseWeights,
  fusedQkvAdapter,
  registerAttentionAdapter,
} from '../adapters/index.js';
export {type BasisMethod, basisMethods} from './bases.js';
export {
  type CalibrateOptions,
  type CalibratedModel,
  type Calibration,
  calibrate,
  mergeCalibrations,
} from './calibration.js';
export {loadCalibration, saveCalibration} from './calibration_file.js';
export {type CompressOptions, type CompressedModel, compressModel} from './compress_model.js';
export type {ModelCompression} from './compression.js';
export type {CompressionRow} from './compression_rows.js';
export {type FineTuneOptions, fineTune} from './fine_tune.js';
export type {MeasuredErrors} from './feature_sample.js';
export type {DistanceWeights} from './rotated_metric.js';
export type {DepthStatistics, SumSide} from './statistics.js';
