import * as tf from '@tensorflow/tfjs';
import {Digest} from '../../base/digest.js';
import {readableNumbers} from '../../ops/host_numbers.js';
import {firstNumbersOf} from '../../ops/weights/packed_variables.js';
import {attentionLayers} from './attention_layers.js';
import type {LayerShape, CacheableModel} from './layer_shape.js';

/** How many numbers of each weight are hashed. */
const hashedNumbers = 256;

/**
 * Returns sixteen hexadecimal digits that identify a model: a hash of the shapes and the first 256 numbers of each weight of the given
 * layers, in order. Equal weights give equal digits on every backend, and in every format that holds their numbers exactly.
 */
export async function fingerprintOf(layers: readonly tf.layers.Layer[]): Promise<string> {
  const digest = new Digest();
  for (const variable of weightsOf(layers)) {
    const first = firstNumbersOf(variable, hashedNumbers);
    try {
      take(digest, variable, await first.data());
    } finally {
      first.dispose();
    }
  }
  return digest.hex;
}

/**
 * The fingerprint of a model's attention layers, at once. Undefined on GPU backends, whose numbers cannot be read synchronously, and if no
 * layer has weights, as layer shapes.
 */
export function attentionFingerprintNow(model: CacheableModel | readonly LayerShape[]): string | undefined {
  const layers = attentionLayers(model).map(({layer}) => layer);
  const variables = weightsOf(layers.filter(layer => layer instanceof tf.layers.Layer));
  const digest = new Digest();
  for (const variable of variables) {
    const numbers = tf.tidy(() => readableNumbers(firstNumbersOf(variable, hashedNumbers)));
    if (numbers === undefined) return undefined;
    take(digest, variable, numbers);
  }
  return variables.length === 0 ? undefined : digest.hex;
}

/** In the order in which they were made: `weights` of a layer has those last that cannot be trained, as packed ones. */
function weightsOf(layers: readonly tf.layers.Layer[]): tf.LayerVariable[] {
  return layers.flatMap(({weights}) => weights.toSorted((a, b) => a.id - b.id));
}

function take(digest: Digest, {shape}: tf.LayerVariable, numbers: ArrayLike<number>): void {
  const floats = Float32Array.from(numbers, number => number + 0); // backends differ in the sign of a decoded zero
  digest.take(shape.join()).take(new Uint8Array(floats.buffer));
}

/** Returns the fingerprint of all layers of a model; undefined if only layer shapes are given, or if no layer has weights. */
export async function modelFingerprint(
  model: CacheableModel | readonly LayerShape[],
): Promise<string | undefined> {
  if (!('layers' in model)) return undefined;
  const layers = model.layers.filter((layer): layer is tf.layers.Layer => layer instanceof tf.layers.Layer);
  return layers.some(({weights}) => weights.length > 0) ? fingerprintOf(layers) : undefined;
}
