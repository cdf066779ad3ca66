/**
 * eigenkv: KV-cache compression for TensorFlow.js Transformers. Whole models are in `eigenkv/models`.
 */
export * from '../cache/index.js';
export * from '../layers/index.js';
export {
  type BackendName,
  type BackendOptions,
  backendNames,
  defaultBackend,
  useBackend,
} from '../ops/backends/use_backend.js';
export type {WasmFileMap, WasmPaths} from '../ops/backends/wasm_files.js';
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
export * from './evaluate/index.js';
