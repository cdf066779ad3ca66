import * as tf from '@tensorflow/tfjs';
import {floatsOf, formatOf, matrixOf} from '../../layers/packed_variables.js';
import {isPacked} from '../../ops/weights/matrix.js';
import {packedMatrix} from './packed_matrix.js';

/** Gives the packed weights of a layer or a model random codes and scales, and its other matrices and vectors random numbers. */
export function setRandomWeights(layer: tf.layers.Layer, seed: number): void {
  layer.weights.forEach((variable, i) => {
    const matrix = matrixOf(variable);
    const given = isPacked(matrix)
      ? packedMatrix(matrix.format, matrix.inputs, matrix.outputs, seed + i).matrix.records
      : tf.tidy(() => tf.randomNormal(matrix.shape, 0, 0.3, 'float32', seed + i));
    variable.write(given);
    given.dispose();
  });
}

/** Gives a layer or model of float32 weights the numbers of one whose weights may be packed. */
export function copyUnpacked(from: tf.layers.Layer, to: tf.layers.Layer): void {
  const byName = new Map(from.weights.map(variable => [variable.originalName, variable]));
  for (const variable of to.weights) {
    const source = byName.get(variable.originalName)!;
    const floats = floatsOf(source);
    variable.write(floats);
    if (formatOf(source) !== 'float32') floats.dispose();
  }
}

/** The records of all packed weights of a layer or a model, by name. */
export function recordsOf(layer: tf.layers.Layer): Record<string, Int32Array> {
  const packed = layer.weights.filter(variable => formatOf(variable) !== 'float32');
  return Object.fromEntries(
    packed.map(variable => [variable.originalName, (variable.read().dataSync() as Int32Array).slice()]),
  );
}
