import * as tf from '@tensorflow/tfjs';
import {Digest} from '../../base/digest.js';
import type {LayerShape, CacheableModel} from './layer_shape.js';

/** Numbers of each weight that are looked at. */
const looked = 256;

/**
 * Sixteen hexadecimal digits that tell a model from others: of the shapes and the first numbers of the given layers' weights,
 * in order. The same weights give the same digits on every backend.
 */
export async function fingerprintOf(layers: readonly tf.layers.Layer[]): Promise<string> {
  const digest = new Digest();
  for (const layer of layers) {
    for (const variable of layer.weights) {
      const first = tf.tidy(() => {
        const flat = tf.reshape(variable.read(), [-1]);
        return tf.slice(flat, [0], [Math.min(looked, flat.size)]);
      });
      const numbers = await first.data<'float32'>();
      first.dispose();
      // a copy: the numbers need not start on a byte of their own buffer
      digest.take(variable.shape.join()).take(new Uint8Array(Float32Array.from(numbers).buffer));
    }
  }
  return digest.hex;
}

/** The fingerprint of all layers of a model; undefined where only its sizes are known, which tell no weights. */
export async function modelFingerprint(
  model: CacheableModel | readonly LayerShape[],
): Promise<string | undefined> {
  if (!('layers' in model)) return undefined;
  const layers = model.layers.filter((layer): layer is tf.layers.Layer => layer instanceof tf.layers.Layer);
  return layers.some(({weights}) => weights.length > 0) ? fingerprintOf(layers) : undefined;
}
