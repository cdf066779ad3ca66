/** Attention in low-rank latents, found by calibration and merged into the weights. */
export {
  type AttentionAdapter,
  type AttentionParts,
  type DenseAttention,
  type DenseWeights,
  type FourDenseOptions,
  fourDenseAdapter,
  fusedQkvAdapter,
  multiHeadAdapter,
  registerAttentionAdapter,
} from '../adapters/index.js';
export type {ModelCompression} from '../architectures/parts/compression.js';
export {type BasisMethod, basisMethods} from './bases.js';
export {type CalibrateOptions, type Calibration, calibrate} from './calibrate.js';
export {mergeCalibrations} from './merge_calibrations.js';
export {loadCalibration, saveCalibration} from './calibration_file.js';
export {type CompressOptions, type CompressedModel, type CompressionRow, compress} from './compress.js';
export type {MeasuredErrors} from './feature_sample.js';
export {type FineTuneOptions, fineTune} from './fine_tune.js';
export type {GivenRanks} from './ranks.js';
export type {DistanceWeights} from './rotated_metric.js';
export type {DepthStatistics, SumSide} from './statistics.js';
export {attentionFingerprint, profileFor} from './transform/packaged_profiles.js';
export {loadTransformProfile, saveTransformProfile} from './transform/profile_file.js';
export type {DepthTransformStatistics, TransformStatistics, TransformSum} from './transform/statistics.js';
export {type TransformProfileOptions, transformProfile} from './transform/transform_profile.js';
export {useProfile} from './transform/use_profile.js';
