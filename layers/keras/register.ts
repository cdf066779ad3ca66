import * as tf from '@tensorflow/tfjs';

/**
 * Registers a class under Keras' name for it, unless there is one of that name: a layer of the user's own, who called it as Keras does. One that
 * is registered later takes its place as well.
 */
export function registerUnlessTaken<Made extends tf.serialization.Serializable>(
  layer: tf.serialization.SerializableConstructor<Made>,
): void {
  if (layer.className in tf.serialization.SerializationMap.getMap().classNameMap) return;
  tf.serialization.registerClass(layer);
}
