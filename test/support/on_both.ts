import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import './cpu_slice.js';
import {expectClose} from './tensors.js';

/**
 * Expects `run` to give the same numbers on the current backend as on cpu, where every op runs as its reference. Tensors of `inputs`
 * are made once, on cpu, so that both backends read the same bits.
 */
export async function expectAsOnCpu<Inputs>(
  inputs: () => Inputs,
  run: (inputs: Inputs) => tf.Tensor | tf.Tensor[],
  tolerance: number,
  what = '',
): Promise<void> {
  const backend = tf.getBackend();
  tf.engine().startScope();
  await tf.setBackend('cpu');
  let expected;
  let given;
  try {
    given = inputs();
    expected = await answers(run(given));
  } finally {
    await tf.setBackend(backend);
  }
  const actual = await answers(run(given));
  tf.engine().endScope();
  expect(actual.length).to.equal(expected.length);
  for (const [i, {shape, dtype, numbers}] of actual.entries()) {
    expect(shape, what).to.deep.equal(expected[i]!.shape);
    expect(dtype, what).to.equal(expected[i]!.dtype);
    await expectClose(numbers, expected[i]!.numbers, tolerance, what);
  }
}

async function answers(result: tf.Tensor | tf.Tensor[]) {
  const tensors = Array.isArray(result) ? result : [result];
  return Promise.all(
    tensors.map(async tensor => ({
      ...{shape: tensor.shape, dtype: tensor.dtype},
      numbers: await tensor.data<'float32' | 'int32'>(),
    })),
  );
}
