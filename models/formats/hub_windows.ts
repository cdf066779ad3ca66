import * as v from 'valibot';
import {ModelError} from '../../base/errors.js';
import type {AttentionConfig} from '../architectures/parts/attention.js';
import {byDepth} from '../architectures/parts/model_config.js';
import {count, maybe} from './config_keys.js';

const layerTypes = ['full_attention', 'sliding_attention'] as const;

/** `sliding_window` of types whose default it is: null is none, not the default. */
export const usualWindow = v.optional(v.nullable(count), 4096);

/** The keys of a hub's config.json that say which layers attend to a window of tokens. */
export const hubWindowEntries = {
  sliding_window: maybe(count),
  layer_types: maybe(
    v.array(
      v.picklist(
        layerTypes,
        'every layer must be "full_attention" or "sliding_attention": eigenkv has no other attention',
      ),
    ),
  ),
};
interface HubWindowKeys extends Omit<
  v.InferOutput<v.ObjectSchema<typeof hubWindowEntries, undefined>>,
  'sliding_window'
> {
  /** null if there is none and some depths must have one. */
  readonly sliding_window?: number | null | undefined;
}

type Windows = Pick<AttentionConfig, 'window' | 'windowed'>;

/**
 * The window of a model's config, if it has one.
 * @param otherwise whether a depth has it if there are no `layer_types`.
 * @throws ModelError if there are layers with a window and it is not said, or too few layer types.
 */
export function windowsFromHub(
  {sliding_window: window, layer_types: types}: HubWindowKeys,
  depths: number,
  otherwise: (depth: number) => boolean,
): Windows {
  if (types !== undefined && types.length < depths) {
    throw new ModelError(
      `config.json has ${types.length} layer_types and ${depths} layers (num_hidden_layers); there must be one for each.`,
    );
  }
  const windowed = byDepth(depths, depth =>
    types === undefined ? otherwise(depth) : types[depth] === 'sliding_attention',
  );
  if (!windowed.includes(true)) return {};
  if (window === null || (window === undefined && types !== undefined)) {
    throw new ModelError(
      'config.json has layers of "sliding_attention" and no sliding_window that says how many tokens they see: give a number, or layer_types that ' +
        'are all "full_attention".',
    );
  }
  return windowsOf(window, windowed);
}

/** A window and the depths that have it, as a model's config states them. */
export function windowsOf(window: number | undefined, windowed: readonly boolean[]): Windows {
  if (window === undefined || !windowed.includes(true)) return {};
  return {window, ...(windowed.includes(false) && {windowed})};
}

/** The keys that `windowsFromHub` reads. */
export function windowsToHub({window, windowed, depths}: AttentionConfig): Record<string, unknown> {
  return {
    sliding_window: window ?? null,
    layer_types: byDepth(depths, depth => window !== undefined && windowed?.[depth] !== false).map(
      isWindowed => (isWindowed ? 'sliding_attention' : 'full_attention'),
    ),
  };
}
