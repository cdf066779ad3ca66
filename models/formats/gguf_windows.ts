import {ModelError} from '../../base/errors.js';
import type {MetadataValue, TensorFile} from '../../base/files/tensor_file.js';
import {type GgufValue, uint32} from '../../base/files/write_gguf_metadata.js';
import {type AttentionConfig, isWindowed} from '../architectures/parts/attention.js';
import {byDepth} from '../architectures/parts/model_config.js';
import type {GgufKeys} from './config_keys.js';
import {windowsOf} from './hub_windows.js';

const patternKey = 'attention.sliding_window_pattern';

/**
 * The window of a GGUF file's model, if it has one.
 * @param period every so manyth layer has no window, if the file does not say which have.
 * @throws ModelError if the file's list of layers with a window is no list of booleans, or too short.
 */
export function windowsFromGguf(
  {metadata}: Pick<TensorFile, 'metadata'>,
  keys: GgufKeys,
  depths: number,
  period: number,
): Pick<AttentionConfig, 'window' | 'windowed'> {
  const window = keys.number('attention.sliding_window') ?? 0;
  if (window === 0) return {};
  const pattern = metadata.get(`${keys.type}.${patternKey}`);
  return windowsOf(window, byDepth(depths, windowedBy(pattern, depths, period)));
}

function windowedBy(
  pattern: MetadataValue | undefined,
  depths: number,
  period: number,
): (depth: number) => boolean {
  if (isBooleans(pattern) && pattern.length >= depths) return depth => pattern[depth]!;
  if (pattern !== undefined && typeof pattern !== 'number') {
    throw new ModelError(
      `The GGUF file's ${patternKey} should be a list of booleans, one for each of ${depths} layers; convert the model again.`,
    );
  }
  const every = pattern ?? period;
  return depth => every === 0 || (depth + 1) % every !== 0;
}

const isBooleans = (value: MetadataValue | undefined): value is readonly boolean[] =>
  Array.isArray(value) && value.every(entry => typeof entry === 'boolean');

/** The keys that `windowsFromGguf` reads. */
export function windowsToGguf(config: AttentionConfig): Record<string, GgufValue> {
  if (config.window === undefined) return {};
  return {
    'attention.sliding_window': uint32(config.window),
    [patternKey]: byDepth(config.depths, depth => isWindowed(config, depth)),
  };
}
