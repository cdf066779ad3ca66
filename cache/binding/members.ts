import * as tf from '@tensorflow/tfjs';

/**
 * The layers that a layer has as its own fields, or in lists of them: a block that calls its parts itself. A model's layers are in its graph, and
 * are none of these.
 *
 * @param seen layers that were met, which are left out: parts may know the block that they are of, and have several names in it. Those that are
 *   returned are added.
 */
export function membersOf(layer: object, seen = new Set<object>([layer])): tf.layers.Layer[] {
  if (!(layer instanceof tf.layers.Layer) || layer instanceof tf.LayersModel) return [];
  return Object.values(layer)
    .flatMap((field: unknown) => [field].flat())
    .filter((member): member is tf.layers.Layer => {
      if (!(member instanceof tf.layers.Layer) || seen.has(member)) return false;
      seen.add(member);
      return true;
    });
}
