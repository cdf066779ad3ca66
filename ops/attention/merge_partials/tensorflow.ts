import type * as tf from '@tensorflow/tfjs';
import {lowest, tensorflowTensor} from '../../backends/tensorflow_ops.js';
import {registerKernel, type KernelInputs} from '../../run_op.js';
import type {PartialInputs} from './reference.js';

registerKernel('MergePartials', 'tensorflow', mergePartialsTensorflow);

/** `mergePartials` by TensorFlow's ops on all partials at once. */
function mergePartialsTensorflow(inputs: KernelInputs<PartialInputs>): tf.TensorInfo {
  const partials = Object.values(inputs);
  const [batch, heads, tokens, columns] = partials[0]!.shape;
  const [rows, dim] = [batch * heads * tokens, columns - 2];
  return tensorflowTensor(ops => {
    const stacked = ops.concat(
      partials.map(partial => ops.reshape(ops.of(partial), [1, rows, columns])),
      0,
    );
    let sums = ops.reshape(stacked, [partials.length * rows, columns]);
    if (partials.length > 1) {
      const max = ops.part(stacked, 2, dim, 1);
      // if nothing was seen, -Infinity - (-Infinity) would be NaN: no score is below this
      const shift = ops.maximum(ops.max(max, 0, true), lowest);
      sums = ops.sum(ops.mul(stacked, ops.exp(ops.sub(max, shift))), 0); // the column of the maxima has no meaning any more
    }
    const output = ops.divNoNan(ops.part(sums, 1, 0, dim), ops.part(sums, 1, dim + 1, 1));
    return ops.reshape(output, [batch, heads, tokens, dim]);
  });
}
