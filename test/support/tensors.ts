import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {randomFloats} from './random.js';

type Shape4D = [number, number, number, number];

/** `randomFloats` as a tensor. */
export function randomTensor4d(seed: number, ...shape: Shape4D): tf.Tensor4D {
  return tf.tensor4d(randomFloats(seed, tf.util.sizeFromShape(shape)), shape);
}

type Numbers = tf.Tensor | ArrayLike<number>;

/**
 * Expects |a - e| <= tolerance * max(1, |e|) for every number. Infinities must be equal, and NaN never passes. Two tensors must have the
 * same shape. A `tolerance` of 0 expects equal numbers (0 equals -0).
 */
export async function expectClose(
  actual: Numbers,
  expected: Numbers,
  tolerance: number,
  what = '',
): Promise<void> {
  const prefix = what === '' ? '' : `${what}: `;
  if (actual instanceof tf.Tensor && expected instanceof tf.Tensor) {
    expect(actual.shape, `${prefix}shape`).to.deep.equal(expected.shape);
  }
  const [a, e] = await Promise.all([numbersOf(actual), numbersOf(expected)]);
  expect(a.length, `${prefix}how many numbers`).to.equal(e.length);
  for (let i = 0; i < e.length; i++) {
    if (!isClose(a[i]!, e[i]!, tolerance)) {
      expect.fail(`${prefix}number ${i} of ${e.length} is ${a[i]!}; expected ${e[i]!} within ${tolerance}.`);
    }
  }
}

/**
 * Expects the second of two runs to leave the numbers of tensors and of data unchanged. The first run may fill caches (compiled shaders,
 * weights). Tensors that `run` returns are disposed of.
 */
export async function expectNoLeak(run: () => unknown): Promise<void> {
  await runAndDispose(run);
  const {numTensors, numDataBuffers} = tf.memory();
  await runAndDispose(run);
  const after = tf.memory();
  expect(after.numTensors - numTensors, 'tensors left behind').to.equal(0);
  expect(after.numDataBuffers - numDataBuffers, 'data buffers left behind').to.equal(0);
}

async function runAndDispose(run: () => unknown): Promise<void> {
  const result: unknown = await run();
  if (typeof result === 'object' && result !== null) tf.dispose(result as tf.TensorContainer);
}

async function numbersOf(numbers: Numbers): Promise<ArrayLike<number>> {
  return numbers instanceof tf.Tensor ? numbers.data() : numbers;
}

const isClose = (a: number, e: number, tolerance: number) =>
  a === e || Math.abs(a - e) <= tolerance * Math.max(1, Math.abs(e));
