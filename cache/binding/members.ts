import * as tf from '@tensorflow/tfjs';

/**
 * The layers that a layer has as its own fields, or in lists of them: a block that calls its parts itself. A model's layers are in its graph, and
 * are none of these.
 */
export function membersOf(layer: object): tf.layers.Layer[] {
  if (!(layer instanceof tf.layers.Layer) || layer instanceof tf.LayersModel) return [];
  return Object.values(layer).flatMap((field: unknown) =>
    [field].flat().filter((member): member is tf.layers.Layer => member instanceof tf.layers.Layer),
  );
}
