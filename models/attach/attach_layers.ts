import type * as tf from '@tensorflow/tfjs';
import {ModelError} from '../../base/errors.js';
import {
  type FoundAttention,
  type LayerCall,
  type PlacedLayer,
  entryLayers,
  findAttention,
  nameOf,
  placedLayers,
  takesCache,
} from '../adapters/index.js';
import {
  type KnownAttention,
  attachAttention,
  attachBlock,
  attachEntry,
  attachPositions,
  originalOf,
} from './attached_calls.js';
import {type ModelContext, contextOf} from './context.js';
import {isLeft, leftLayers, withoutCache} from './left_layers.js';
import {positionAdapterOf} from './position_adapters.js';

/** An attention layer of another package, and its `call` before it was replaced. */
export interface AttachedAttention extends PlacedLayer {
  readonly attention: KnownAttention;
  readonly original: LayerCall;
}

/** A model's layers with their calls replaced. */
export interface AttachedLayers {
  /** The layers beside attention, and beside blocks that have it. */
  readonly others: readonly tf.layers.Layer[];
  /** The model's input that gets the tokens. */
  readonly input: number;
  readonly attentions: readonly AttachedAttention[];
  readonly context: ModelContext;
  /** Restores the layers, except those that were attached before. */
  undo(): void;
}

/** Which layers get no cache, and which input gets the tokens. */
export interface AttachPlaces {
  readonly leave?: readonly string[];
  readonly input?: number;
}

/**
 * Makes the layers of a model use the cache that `apply` is given.
 * @throws ModelError if there is no attention, or a layer that a cache cannot work with.
 */
export function attachLayers(
  model: tf.LayersModel,
  {leave = [], input = 0}: AttachPlaces = {},
): AttachedLayers {
  const all = placedLayers(model);
  const left = leftLayers(all, leave);
  const placed = all.filter(({layer}) => !left.has(layer) && !isLeft(layer));
  const found = findAttention(placed);
  const known = found.map(knownAttention);
  checkStateless(placed);
  const context = contextOf(model);
  const undos: (() => void)[] = [...left].map(withoutCache);
  for (const [depth, {layer, inside}] of found.entries()) {
    const attention = known[depth];
    if (attention === undefined || originalOf(layer) !== undefined) continue;
    undos.push(attachAttention(layer, attention, depth, context), ...inside.map(attachBlock));
  }
  for (const {layer} of placed) {
    const adapter = positionAdapterOf(layer);
    if (adapter !== undefined && originalOf(layer) === undefined)
      undos.push(attachPositions(layer, adapter, context));
  }
  if (undos.length > 0) {
    // layers of eigenkv check this themselves
    undos.push(...entryLayers(model, input).map(layer => attachEntry(layer, context)));
  }
  const attentionBlocks = new Set(found.flatMap(({inside}) => inside));
  return {
    others: placed.map(({layer}) => layer).filter(layer => !takesCache(layer) && !attentionBlocks.has(layer)),
    input,
    attentions: found.flatMap((place, depth) => {
      const [attention, original] = [known[depth], originalOf(place.layer)];
      return attention === undefined || original === undefined ? [] : {...place, attention, original};
    }),
    context,
    undo: () => undos.reverse().forEach(undo => undo()),
  };
}

/**
 * What attention is computed with; undefined for a layer that takes a cache by itself.
 * @throws ModelError if an adapter does not say how its layer projects.
 */
function knownAttention({layer, attention}: FoundAttention): KnownAttention | undefined {
  const parts = attention?.parts;
  if (attention !== undefined && parts !== undefined) return {...attention, parts};
  if (takesCache(layer)) return undefined;
  throw new ModelError(
    `The adapter of layer ${nameOf(layer)} does not say how the layer projects: its description has no "parts". ` +
      'docs/guides/adapters.md says what they are.',
  );
}

function checkStateless(placed: readonly PlacedLayer[]): void {
  const stateful = placed.map(({layer}) => layer).filter(layer => layer.stateful);
  if (stateful.length === 0) return;
  throw new ModelError(
    `${stateful.map(nameOf).join(', ')} keep a state between calls, which a cache cannot fork, save or truncate. Make them with ` +
      'stateful: false.',
  );
}
