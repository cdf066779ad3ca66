/**
 * What policies, codecs, models and ops of your own are made with. Each part has a guide in docs/guides.
 */

// Policies: a keeper and a codec around exact first and last tokens.
export {
  type AnyFactory,
  type Context,
  type Factory,
  type HeadSizes,
  type Options,
  type OptionValue,
  type Policy,
  type PolicyLike,
  type PolicyOptions,
  type Spec,
  asPolicy,
  makePolicy,
  policy,
  policyNames,
  registerPolicy,
  tokenBudget,
} from '../cache/index.js';

// Keepers: which tokens stay.
export {
  type AskedQueries,
  type Budget,
  type CandidateTile,
  type Candidates,
  type Keeper,
  type KeeperLike,
  type Observation,
  asKeeper,
  keeperNames,
  keepers,
  registerKeeper,
} from '../cache/index.js';

// Codecs: how the tokens that stay are stored.
export {
  type Codec,
  type CodecLike,
  type NumbersOf,
  type PairCodec,
  type SideCodecs,
  type StoreLike,
  asCodec,
  asStore,
  codecNames,
  codecPair,
  codecs,
  makeCodec,
  registerCodec,
  registerPairCodec,
  storeNames,
} from '../cache/index.js';

// The past of one depth, as policies, codecs and watchers see it.
export {
  type AttentionCache,
  type CacheLease,
  type DenseBlock,
  type DenseSegment,
  type FreshTokens,
  type LatentKeys,
  type LayerShape,
  type Past,
  type PastEvents,
  type QueryWindow,
  type RopeTables,
  type SeenTokens,
  type Segment,
  type Undecided,
  WatchedCache,
  type Watcher,
} from '../cache/index.js';
export {withBlock} from '../cache/codecs/pair.js';
export type {AttendContext} from '../cache/past/attend_past.js';
export type {Scoring, ScoringOptions} from '../ops/attention/scoring.js';
export {type RelativeBuckets, relativeBiasOfBuckets} from '../ops/attention/relative_buckets.js';
export type {SkipCounts, Skipping} from '../ops/attention/attend/types.js';
export {type Rotated, decodeTokens, unrotateAt} from '../cache/past/decode.js';
export {appendSegment} from '../cache/past/segments.js';
export type {
  Basis,
  DenseEncoding,
  Encoding,
  Float8Encoding,
  Float8Layout,
  IntegerBits,
  IntegerEncoding,
  IntegerLayout,
  LloydMaxEncoding,
  LloydMaxLayout,
  LowRankEncoding,
  TokenEncoding,
  Width,
} from '../ops/encodings/encoding.js';

// Adapters: attention and position layers of other people.
export {
  type AttentionAdapter,
  type AttentionParts,
  type DenseAttention,
  type DenseWeights,
  type FourDenseOptions,
  type PositionAdapter,
  fourDenseAdapter,
  fusedQkvAdapter,
  multiHeadAdapter,
  paddedBehind,
  registerAttentionAdapter,
  registerPositionAdapter,
} from '../models/index.js';

// Architectures: whole models, and where their weights lie in files.
export {
  type Architecture,
  type GgufConfig,
  type StoredWeight,
  type WeightNames,
  isKernel,
  storedAs,
  weightNames,
} from '../models/architectures/parts/architecture.js';
export {type BuildOptions, matrixArgs} from '../models/architectures/parts/build_options.js';
export {architectures, registerArchitecture} from '../models/architectures/index.js';
export {
  type DecoderDescription,
  decoderArchitecture,
} from '../models/architectures/parts/decoder_architecture.js';
export {type DecoderParts, decoder, decoderParts} from '../models/architectures/parts/decoder.js';
export type {TensorLayout} from '../models/architectures/parts/decoder_tensors.js';
export type {TensorNames} from '../models/architectures/parts/tensor_names.js';
export {type GgufKeys, ggufKeys, ggufVocabSize} from '../models/formats/config_keys.js';
export type {
  Metadata,
  MetadataValue,
  NumberArray,
  RowRange,
  TensorFile,
  TensorInfo,
} from '../base/files/tensor_file.js';
export type {CodedRow} from '../base/files/coded_row.js';
export type {GgufTensor} from '../base/files/write_gguf.js';
export type {GgufArray, GgufNumber, GgufValue} from '../base/files/write_gguf_metadata.js';
export type {NumberTypeName} from '../base/files/gguf_value_types.js';

// Ops: a reference that runs on every backend, fused kernels for some, and a gradient.
export {
  type DirectOp,
  type InfoOf,
  type KernelFunction,
  type KernelInputs,
  type Op,
  type OpInputs,
  defineOp,
  hasKernel,
  runOp,
} from '../ops/run_op.js';
export {type Gradient, differentiable} from '../ops/differentiable.js';
export {type Rotation, rotate} from '../ops/rotate/index.js';
export {type RopeConfig, type RopeScaling, rotationFor} from '../ops/rotate/rope.js';
