/** Layers of eigenkv. Importing this registers them with tfjs, so that saved models load. */
export {attention, Attention, type AttentionArgs} from './attention.js';
export {cachedAttention, type CachedAttentionOptions} from './cached_attention.js';
export {eigenAttention, EigenAttention, type EigenAttentionArgs} from './eigen_attention.js';
export type {RopeMode} from './key_mode.js';
export type {QkNorm, QueryGrowth} from './qk_norm.js';
export type {
  AttentionKernel,
  HeadSizes,
  Projected,
  SelfAttention,
  SelfAttentionArgs,
} from './self_attention.js';
export {
  type Activation,
  feedForward,
  FeedForward,
  type FeedForwardArgs,
  type FeedForwardKernel,
} from './feed_forward.js';
export {flashAttention, FlashAttention, type FlashAttentionArgs} from './flash_attention.js';
export {
  groupQueryAttention,
  GroupQueryAttention,
  type GroupQueryAttentionArgs,
} from './keras/group_query_attention.js';
export {
  multiHeadAttention,
  MultiHeadAttention,
  type MultiHeadAttentionArgs,
} from './keras/multi_head_attention.js';
export {operator, Operator, type Operation, type OperatorArgs} from './keras/operator.js';
export {paddingMask, PaddingMask, type PaddingMaskArgs} from './keras/padding_mask.js';
export {
  kerasRmsNormalization,
  KerasRmsNormalization,
  type KerasRmsNormalizationArgs,
} from './keras/rms_normalization.js';
export type {KerasAttentionOptions, KerasAttentionArgs, KerasWeightParts} from './keras/attention_args.js';
export type {AttentionCall, AttentionRole} from './keras/call_roles.js';
export type {KerasAttention} from './keras/keras_attention.js';
export type {KerasSizes} from './keras/projections.js';
export type {Constraint, Regularizer, Serialized} from './keras/serialized_parts.js';
export type {CallArgs, Initializer, KernelInitializer, LayerArgs} from './layer_args.js';
export {type RelativeBuckets, relativeBiasOfBuckets} from '../ops/attention/relative_buckets.js';
export type {ScoringOptions} from '../ops/attention/scoring.js';
export type {LinearProduct} from '../ops/linear/index.js';
export type {Activations} from '../ops/linear/reference.js';
export type {PackedFormat, WeightFormat} from '../ops/weights/formats.js';
export type {Matrix, PackedMatrix} from '../ops/weights/matrix.js';
export type {MatrixArgs, MatrixLayer, MatrixOptions} from './matrix_layer.js';
export {outputHead, OutputHead, type OutputHeadArgs} from './output_head.js';
export {positionEmbedding, PositionEmbedding, type PositionEmbeddingArgs} from './position_embedding.js';
export {rmsNormalization, RmsNormalization, type RmsNormalizationArgs} from './rms_normalization.js';
export {scaling, Scaling, type ScalingArgs} from './scaling.js';
export {tokenEmbedding, TokenEmbedding, type TokenEmbeddingArgs} from './token_embedding.js';
export {tokenSelection, TokenSelection} from './token_selection.js';
