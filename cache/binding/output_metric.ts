import type * as tf from '@tensorflow/tfjs';

/** An attention layer that says what a change of its attention output costs: see `Candidates.outputMetric`. */
interface MeasuredLayer {
  outputMetric(): tf.Tensor3D;
}

/** Returns the function that computes a layer's output metric; undefined if the layer has none, or if none is known. */
export function outputMetricOf(layer: object | undefined): (() => tf.Tensor3D) | undefined {
  return layer !== undefined && isMeasured(layer) ? () => layer.outputMetric() : undefined;
}

function isMeasured(layer: object): layer is MeasuredLayer {
  return 'outputMetric' in layer && typeof layer.outputMetric === 'function';
}
