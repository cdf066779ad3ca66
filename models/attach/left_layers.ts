import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, didYouMean} from '../../base/errors.js';
import {membersOf} from '../../cache/binding/members.js';
import {type PlacedLayer, nameOf, replaceCall, takesCache} from '../adapters/index.js';

// Layers that get no cache, since the user said so.

const alone = new WeakSet<tf.layers.Layer>();

/** Whether a layer was left without a cache. */
export const isLeft = (layer: tf.layers.Layer): boolean => alone.has(layer);

/** @throws InvalidArgumentError for a name that no layer has, or of a layer that always takes a cache. */
export function leftLayers(placed: readonly PlacedLayer[], leave: readonly string[]): Set<tf.layers.Layer> {
  const layers = placed.flatMap(({layer}) => [layer, ...membersOf(layer)]);
  return new Set(
    leave.map(name => {
      const layer = layers.find(other => other.name === name);
      if (layer !== undefined && (!takesCache(layer) || alone.has(layer))) return layer;
      throw new InvalidArgumentError(
        layer === undefined
          ? `leave names "${name}", and the model has no layer of this name.${didYouMean(
              name,
              layers.map(other => other.name),
            )}`
          : `leave names ${nameOf(layer)}, which is causal attention to its own input and takes a cache by itself.`,
      );
    }),
  );
}

/** Hides a cache from a layer, which would refuse or use it. */
export function withoutCache(layer: tf.layers.Layer): () => void {
  if (alone.has(layer)) return () => undefined;
  alone.add(layer);
  const undo = replaceCall(
    layer,
    original => (inputs, kwargs) => original(inputs, {...kwargs, cache: undefined}),
  );
  return () => {
    alone.delete(layer);
    undo();
  };
}
