/** The KV cache of a model, and its codecs, keepers, policies and plans. */
export type {AttentionCache} from './attention_cache.js';
export {
  type CacheSource,
  type CacheableModel,
  type LayerShape,
  type UniformSizes,
  uniformShapes,
} from './binding/layer_shape.js';
export type {CacheLease} from './binding/lease.js';
export {type SourceAttention, SourceCache, type SourceTokens} from './source_cache.js';
export * as codecs from './codecs/index.js';
export {
  type CodecLike,
  type StoreLike,
  asCodec,
  asStore,
  codecNames,
  makeCodec,
  registerCodec,
  registerPairCodec,
  storeNames,
} from './codecs/as_store.js';
export type {AdaptiveCodecOptions} from './codecs/adaptive.js';
export type {OnlineSvdCodecOptions} from './codecs/online_svd.js';
export type {TransformOptions} from './codecs/transform.js';
export type {TransformBits} from './codecs/transform_profile/bits.js';
export {codecPair, type SideCodecs} from './codecs/pair.js';
export {
  type CalibrationDrift,
  type CodeWidth,
  type DepthTransforms,
  type DepthWidths,
  type HeadDrift,
  type SideTransform,
  type SideWidths,
  type TokenScales,
  type TransformSide,
  type TransformProfile,
  type TransformWidths,
  type WidthBudget,
  registerProfile,
  widthsFor,
} from './codecs/transform_profile/index.js';
export type {
  AskedQueries,
  Budget,
  CandidateTile,
  Candidates,
  Codec,
  Context,
  HeadSizes,
  Keeper,
  NumbersOf,
  PairCodec,
  Policy,
  Refit,
} from './contract.js';
export {type KeeperLike, asKeeper, keeperNames} from './keepers/as_keeper.js';
export * as keepers from './keepers/index.js';
export type {Warn} from '../base/warn.js';
export {KVCache, type KVCacheOptions} from './kv_cache.js';
export type {LatentKeys} from './past/attend_past.js';
export type {FreshTokens} from './past/fresh_tokens.js';
export type {Observation} from './past/observe.js';
export type {
  DenseBlock,
  DenseSegment,
  Past,
  PastEvents,
  QueryWindow,
  Segment,
  Undecided,
} from './past/past.js';
export type {RopeTables} from './past/rope_tables.js';
export * from './plans/index.js';
export type {Plan, PlanJson} from './plans/plan.js';
export type {PlanChange} from './plans/set_plan.js';
export {
  type PolicyLike,
  asPolicy,
  makePolicy,
  policyNames,
  registerKeeper,
  registerPolicy,
  tokenBudget,
} from './policies/as_policy.js';
export {type PolicyOptions, policy} from './policies/custom.js';
export type {KeepOptions, ReadOptions, SinkOptions, StoringOptions} from './policies/define.js';
export * from './policies/index.js';
export {type CompressPromptOptions, type PromptCut, compressPrompt} from './prompt/compress_prompt.js';
export type {PromptSize} from './prompt/prompt_size.js';
export type {AnyFactory} from './registry.js';
export {PrefixCache, type PrefixCacheOptions} from './sharing/prefix_cache.js';
export * from './stores/index.js';
export {calibrationDrift} from './watch/calibration_drift.js';
export type {DepthReport} from './watch/depth_report.js';
export {type SeenTokens, WatchedCache, type Watcher} from './watch/watched_cache.js';
export type {Factory, Options, OptionValue, Spec} from '../base/options.js';
export type {
  Basis,
  DenseEncoding,
  Float8Encoding,
  Float8Layout,
  Encoding,
  IntegerBits,
  IntegerEncoding,
  IntegerLayout,
  LowRankEncoding,
  TokenEncoding,
} from '../ops/encodings/encoding.js';
export type {Rotation} from '../ops/rotate/index.js';
export type {Scoring, ScoringOptions} from '../ops/attention/scoring.js';
export type {RopeConfig, RopeScaling} from '../ops/rotate/rope.js';
