import type {LayerShape} from '../../cache/binding/layer_shape.js';
import {membersOf} from '../../cache/binding/members.js';
import type * as tf from '@tensorflow/tfjs';
import {ModelError, shown} from '../../base/errors.js';
import {KerasAttention} from '../../layers/keras/keras_attention.js';
import {SelfAttention} from '../../layers/self_attention.js';
import type {DenseAttention} from './adapter.js';
import type {PlacedLayer} from './graph.js';
import {attentionAdapterNames, describeAttention} from './registry.js';

/** An attention layer of a model. */
export interface FoundAttention extends PlacedLayer {
  /** What its adapter says. Undefined only if the layer takes a cache by itself and no adapter is needed. */
  readonly attention?: DenseAttention;
  /** The layers that it is a member of, the outermost first: blocks that call it themselves. */
  readonly inside: readonly tf.layers.Layer[];
}

/** Whether a layer takes a cache: those of eigenkv do, and those that a cache was attached to. */
export function takesCache(
  layer: tf.layers.Layer,
): layer is tf.layers.Layer & {readonly layerShape: LayerShape} {
  return 'layerShape' in layer;
}

/**
 * The attention layers among those of a model, in their order: a layer is one if there is an adapter for its class or if it takes a
 * cache. Those that a block has as members count as well.
 *
 * @param placed see `placedLayers`.
 * @throws ModelError if there is none; if there is no adapter for a layer whose class is named after attention; if a layer is applied
 *   more than once, or gets different inputs.
 */
export function findAttention(placed: readonly PlacedLayer[]): FoundAttention[] {
  const found = placed.flatMap(place => attentionIn(place));
  const layers = placed.map(({layer}) => layer);
  const known = new Set(found.flatMap(({layer, inside}) => [layer, ...inside]));
  const unknown = layers
    .flatMap(layer => [layer, ...membersOf(layer)])
    .filter(layer => /attention/i.test(layer.getClassName()) && !known.has(layer))
    .filter(layer => !found.some(({layer: attention}) => membersOf(attention).includes(layer)));
  if (found.length === 0 || unknown.length > 0) {
    throw new ModelError(
      (unknown.length > 0
        ? `There is no adapter for the attention layers ${unknown.map(nameOf).join(', ')}.`
        : `There is no attention layer that an adapter knows in this model; its layers are ${layers.map(nameOf).join(', ')}.`) +
        ` There are adapters for ${attentionAdapterNames().join(', ')}. Add one with registerAttentionAdapter: docs/guides/adapters.md ` +
        'shows one on a screen.',
    );
  }
  found.forEach(checkPlace);
  return found;
}

function attentionIn(
  place: PlacedLayer,
  inside: readonly tf.layers.Layer[] = [],
  seen = new Set<object>([place.layer]),
): FoundAttention[] {
  const {layer} = place;
  const attention = describeAttention(layer);
  if (attention !== undefined) checkReach(attention);
  if (attention !== undefined || takesCache(layer)) return [{...place, attention, inside}];
  const within = [...inside, layer];
  return membersOf(layer, seen).flatMap(member => attentionIn({...place, layer: member}, within, seen));
}

/** A layer's name and class, as errors show them. */
export const nameOf = (layer: tf.layers.Layer) => `"${layer.name}" (${layer.getClassName()})`;

/** An adapter may be plain JavaScript: a window of NaN tokens would silently be no window. */
function checkReach({layer, window, contextLength}: DenseAttention): void {
  for (const [option, tokens] of Object.entries({window, contextLength})) {
    if (tokens === undefined || tokens === Infinity || (Number.isInteger(tokens) && tokens >= 1)) continue;
    throw new ModelError(
      `The adapter of layer ${nameOf(layer)} says ${option} = ${tokens}; expected a whole number of tokens, or Infinity.`,
    );
  }
}

function checkPlace({layer, applications, nodes}: FoundAttention): void {
  if (applications !== 1) {
    throw new ModelError(
      `Attention layer ${nameOf(layer)} is applied ${applications} times in this model. Every application needs a past and bases of its ` +
        'own: use one layer per application.',
    );
  }
  if (layer instanceof KerasAttention) {
    if (layer.layerShape !== undefined) return; // knows what its inputs are
    throw new ModelError(
      `Layer ${nameOf(layer)} is called as ${shown(layer.attentionCall)}; only causal attention to its own input takes a cache or can be ` +
        `compressed. Name others, as those of an encoder and those that attend to it: attachCache(model, plan, {leave: ["${layer.name}"]}).`,
    );
  }
  // the second input of eigenkv's own layers is added to their output
  const attended = layer instanceof SelfAttention ? 1 : Infinity;
  const inputs = new Set(nodes.flatMap(({inputTensors}) => inputTensors.slice(0, attended)));
  if (inputs.size > 1) {
    throw new ModelError(
      `Attention layer ${nameOf(layer)} gets ${inputs.size} inputs that differ: attention to another text, or a mask. Only causal ` +
        "attention over the layer's own input takes a cache or can be compressed.",
    );
  }
}
