/**
 * eigenkv: KV-cache compression for TensorFlow.js Transformers.
 *
 * Everything that most programs need is here. The rest of each part is in `eigenkv/models`, `eigenkv/cache`, `eigenkv/layers`,
 * `eigenkv/evaluate` and `eigenkv/charts`; decompositions of matrices are in `eigenkv/linalg`, and what policies, codecs, models and ops
 * of your own are made with is in `eigenkv/extend`.
 */

// Load: a backend, and a model with its tokenizer.
export {type BackendName, type BackendOptions, useBackend} from '../ops/backends/use_backend.js';
export type {WebgpuFeature} from '../ops/backends/webgpu_features.js';
export {type Threads, threadCount} from '../ops/backends/heap_threads.js';
export type {WasmFileMap, WasmFileName, WasmPaths} from '../ops/backends/wasm_files.js';
export {
  type KerasModelSource,
  type LoadKerasOptions,
  type LoadModelOptions,
  type LoadProgress,
  type LoadedModel,
  type ModelConfig,
  type ModelToSave,
  type SaveModelOptions,
  type TextModel,
  type Tokenizer,
  type WeightSetting,
  embeddedText,
  loadKerasModel,
  loadModel,
  saveModel,
} from '../models/index.js';

// Generate: a text, token by token, through a compressed cache; a conversation over one cache.
export {
  type AnswerOptions,
  type ChatMessage,
  type ChatOptions,
  type ChatTurn,
  type GenerateIdsOptions,
  type GenerateOptions,
  type GeneratedToken,
  type LogitBias,
  type LogitProcessor,
  type SamplingOptions,
  type TemplateVariables,
  Chat,
  chat,
  generate,
} from '../models/index.js';

// Caches: the past of a model, shared beginnings, models of other people, snapshots.
export {type AttachOptions, type KvzipOptions, attachCache, kvzip} from '../models/index.js';
export {
  type AttentionCache,
  type ByteStore,
  type CacheLease,
  type CacheSource,
  type CacheableModel,
  type CompressPromptOptions,
  type DepthReport,
  type FreshTokens,
  type GetAndSet,
  type KVCacheOptions,
  type LayerShape,
  type Past,
  type PlanChange,
  type PrefixCacheOptions,
  type PromptCut,
  type PromptSize,
  type SourceAttention,
  type SourceTokens,
  type StoreOptions,
  type UniformSizes,
  KVCache,
  PrefixCache,
  SourceCache,
  byteStore,
  compressPrompt,
  fileStore,
  uniformShapes,
} from '../cache/index.js';

// Policies: which tokens of a depth stay, and how they are stored.
export {
  type AdaptiveOptions,
  type Factory,
  type Float8PolicyOptions,
  type H2oOptions,
  type KeepOptions,
  type KeeperLike,
  type LayeredOptions,
  type LeastUsedOptions,
  type MixedOptions,
  type OnlineSvdOptions,
  type Policy,
  type PolicyLike,
  type PolicyOptions,
  type QuantizedOptions,
  type ReadOptions,
  type SinkOptions,
  type SlidingOptions,
  type StoreLike,
  type StoringOptions,
  type TransformBits,
  type TransformOptions,
  type TransformPolicyOptions,
  adaptive,
  float8,
  full,
  h2o,
  layered,
  lfu,
  lru,
  mixed,
  onlineSvd,
  policy,
  quantized,
  sliding,
  transform,
} from '../cache/index.js';

// Plans: the policy of each depth.
export {
  type BandsOptions,
  type BudgetSize,
  type Plan,
  type PlanJson,
  type PlanLike,
  type ScenarioName,
  asPlan,
  bands,
  budget,
  perDepth,
  scenario,
  uniform,
} from '../cache/index.js';

// Layers: attention that takes a cache, for models of your own; the other layers are in `eigenkv/layers`.
export {
  type Attention,
  type AttentionArgs,
  type CachedAttentionOptions,
  type EigenAttention,
  type EigenAttentionArgs,
  type FlashAttention,
  type FlashAttentionArgs,
  attention,
  cachedAttention,
  eigenAttention,
  flashAttention,
} from '../layers/index.js';

// Evaluate: what plans cost and save.
export {
  type AnalyzeRanksOptions,
  type Certificate,
  type CertifyOptions,
  type ComparedModel,
  type EpochCallbackOptions,
  type EpochEvaluation,
  type EpochRow,
  type EvaluateOptions,
  type EvaluateTasksOptions,
  type Evaluation,
  type EvaluationRow,
  type ModelLike,
  type ModelParts,
  type MonitorOptions,
  type MonitorReport,
  type RankAnalysis,
  type TaskEvaluation,
  type TaskLike,
  type TextLike,
  type TuneOptions,
  type Tuning,
  analyzeRanks,
  certify,
  epochCallback,
  evaluate,
  evaluateTasks,
  monitor,
  tune,
} from './evaluate/index.js';

// Calibrate: what is measured of a model once. Compress: low-rank attention layers made of dense ones.
export {
  type CalibrateOptions,
  type Calibration,
  type CompressOptions,
  type CompressedModel,
  type FineTuneOptions,
  calibrate,
  compress,
  fineTune,
  type TransformProfileOptions,
  transformProfile,
  useProfile,
} from '../models/index.js';
export {type CalibrationDrift, type TransformProfile, calibrationDrift} from '../cache/index.js';

// Errors: all that the package throws are of these classes.
export {
  BackendError,
  CacheStateError,
  ContextLengthError,
  EigenkvError,
  FormatError,
  InvalidArgumentError,
  ModelError,
  TransferError,
} from '../base/errors.js';
