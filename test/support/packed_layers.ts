import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {floatsOf, formatOf, matrixOf} from '../../ops/weights/packed_variables.js';
import {isPacked} from '../../ops/weights/matrix.js';
import {packedMatrix} from './packed_matrix.js';
import {expectClose} from './tensors.js';

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

/** Expects |a - e| <= tolerance * the largest |e| for every number: what rounding the inputs of products changes grows with them. */
export async function expectCloseToLargest(
  actual: tf.Tensor | ArrayLike<number>,
  expected: tf.Tensor | ArrayLike<number>,
  tolerance: number,
  what = '',
): Promise<void> {
  const numbers = expected instanceof tf.Tensor ? await expected.data() : expected;
  const given = actual instanceof tf.Tensor ? await actual.data() : actual;
  const largest = Array.from(numbers).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  expect(largest, what).to.be.above(0);
  const scaled = (x: ArrayLike<number>) => Array.from(x, number => number / largest);
  await expectClose(scaled(given), scaled(numbers), tolerance, what);
}
