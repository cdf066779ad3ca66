import * as tf from '@tensorflow/tfjs';
import {Digest} from '../../base/digest.js';
import {firstNumbersOf} from '../../ops/weights/packed_variables.js';
import type {LayerShape, CacheableModel} from './layer_shape.js';

/** How many numbers of each weight are hashed. */
const hashedNumbers = 256;

/**
 * Returns sixteen hexadecimal digits that identify a model: a hash of the shapes and the first 256 numbers of each weight of the given
 * layers, in order. Equal weights give equal digits on every backend, and in every
 * format that holds their numbers exactly.
 */
export async function fingerprintOf(layers: readonly tf.layers.Layer[]): Promise<string> {
  const digest = new Digest();
  for (const layer of layers) {
    // in the order in which they were made: `weights` has those last that cannot be trained, as packed ones
    for (const variable of layer.weights.toSorted((a, b) => a.id - b.id)) {
      const numbers = await firstNumbersOf(variable, hashedNumbers);
      digest.take(variable.shape.join()).take(new Uint8Array(numbers.buffer));
    }
  }
  return digest.hex;
}

/** Returns the fingerprint of all layers of a model; undefined if only layer shapes are given, or if no layer has weights. */
export async function modelFingerprint(
  model: CacheableModel | readonly LayerShape[],
): Promise<string | undefined> {
  if (!('layers' in model)) return undefined;
  const layers = model.layers.filter((layer): layer is tf.layers.Layer => layer instanceof tf.layers.Layer);
  return layers.some(({weights}) => weights.length > 0) ? fingerprintOf(layers) : undefined;
}
