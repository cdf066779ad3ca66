import * as tf from '@tensorflow/tfjs';

/**
 * A layer in front of a symbolic tensor that makes a padding mask (an embedding with `maskZero`, `Masking`). tfjs loses masks on their
 * way out of models inside a model and through sums with what has none, so that a layer behind never sees them.
 */
export function maskingLayer(tensor: tf.SymbolicTensor): tf.layers.Layer | undefined {
  const seen = new Set<tf.SymbolicTensor>();
  const waiting = [tensor];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    const {sourceLayer, inputs} = next;
    if (makesMask(sourceLayer)) return sourceLayer;
    if (sourceLayer instanceof tf.LayersModel) waiting.push(...sourceLayer.outputs);
    waiting.push(...inputs);
  }
  return undefined;
}

function makesMask(layer: tf.layers.Layer): boolean {
  const name = layer.getClassName();
  return name === 'Masking' || (name === 'Embedding' && layer.getConfig()['maskZero'] === true);
}
