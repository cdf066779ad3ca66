import * as tf from '@tensorflow/tfjs';

/**
 * A layer that a symbolic tensor depends on and that makes a padding mask (an embedding with `maskZero`, `Masking`). tfjs loses
 * masks at the output of nested models and in sums with an unmasked tensor, so that later layers never see them.
 */
export function maskingLayer(tensor: tf.SymbolicTensor): tf.layers.Layer | undefined {
  for (const {sourceLayer} of sourcesOf(tensor)) if (makesMask(sourceLayer)) return sourceLayer;
  return undefined;
}

/** The symbolic tensor and all that it is computed from, those inside nested models included, each once. */
export function* sourcesOf(tensor: tf.SymbolicTensor): Generator<tf.SymbolicTensor, void, undefined> {
  const seen = new Set<tf.SymbolicTensor>();
  const waiting = [tensor];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    yield next;
    const {sourceLayer, inputs} = next;
    if (sourceLayer instanceof tf.LayersModel) waiting.push(...sourceLayer.outputs);
    waiting.push(...inputs);
  }
}

/** Whether a layer makes a padding mask of what goes in. */
export function makesMask(layer: tf.layers.Layer): boolean {
  const name = layer.getClassName();
  return name === 'Masking' || (name === 'Embedding' && layer.getConfig()['maskZero'] === true);
}
