/**
 * eigenkv: KV-cache compression for TensorFlow.js Transformers. Whole models are in `eigenkv/models`.
 */
export * from '../cache/index.js';
export * from '../layers/index.js';
export {type BackendName, backendNames, defaultBackend, useBackend} from '../ops/backends/use_backend.js';
export {
  BackendError,
  CacheStateError,
  ContextLengthError,
  EigenkvError,
  FormatError,
  InvalidArgumentError,
  ModelError,
  TransferError,
} from '../ops/errors.js';
export * from './evaluate/index.js';
