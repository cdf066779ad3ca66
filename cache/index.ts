/** The past of a model: codecs, policies, plans and the cache itself. */
export {type UniformSizes, uniformShapes} from './binding/layer_shape.js';
export type {LatentKeys} from './past/attend_past.js';
export type {Codec, Options, OptionValue} from './codec.js';
export * as codecs from './codecs/index.js';
export {
  type AttentionCache,
  type CacheableModel,
  type CacheLease,
  type LayerShape,
  type DepthReport,
  type FreshTokens,
  KVCache,
  type KVCacheOptions,
  type PlanChange,
} from './kv_cache.js';
export * as mechanics from './mechanics.js';
export type {LeastUsedOptions} from './keepers/least_used.js';
export type {Observation} from './past/observe.js';
export type {DenseSegment, Past, PastEvents, Segment} from './past/past.js';
export type {Plan, PlanJson, PolicyLike} from './plans/plan.js';
export * from './plans/index.js';
export * from './policies/index.js';
export {PrefixCache, type PrefixCacheOptions} from './sharing/prefix_cache.js';
export type {Context, Policy} from './policy.js';
export * from './stores/index.js';
export {type SeenTokens, WatchedCache, type Watcher} from './watch/watched_cache.js';
export {
  codecNames,
  makeCodec,
  makePolicy,
  parsePolicy,
  policyNames,
  registerPolicy,
  type Spec,
} from './registry.js';
export type {RopeTables} from './past/rope_tables.js';
export type {
  DenseEncoding,
  Float8Encoding,
  Float8Layout,
  Encoding,
  IntegerEncoding,
  IntegerLayout,
  LowRankEncoding,
  TokenEncoding,
} from '../ops/encodings/encoding.js';
export type {Rotation} from '../ops/rotate/index.js';
export type {RopeConfig, RopeScaling} from '../ops/rotate/rope.js';
