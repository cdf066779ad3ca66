import type * as tf from '@tensorflow/tfjs';
import type {CallArgs} from '../../layers/layer_args.js';

/** A layer's `call`. */
export type LayerCall = (inputs: tf.Tensor | tf.Tensor[], kwargs: CallArgs) => tf.Tensor | tf.Tensor[];

/**
 * Puts another function in place of a layer's `call`.
 * @returns what puts the former one back.
 */
export function replaceCall(
  layer: tf.layers.Layer,
  replaced: (original: LayerCall) => LayerCall,
): () => void {
  const own = Object.getOwnPropertyDescriptor(layer, 'call');
  layer.call = replaced(layer.call.bind(layer));
  return () => {
    if (own === undefined) Reflect.deleteProperty(layer, 'call');
    else Object.defineProperty(layer, 'call', own);
  };
}
