import * as tf from '@tensorflow/tfjs';
import {type Handle, type TensorflowOps, tensorflowTensor} from '../backends/tensorflow_ops.js';
import {registerKernel, type KernelInputs} from '../run_op.js';
import {indicesOutside} from './checks.js';
import type {GatherRowsAttributes, GatherRowsInputs} from './reference.js';

registerKernel('GatherRows', 'tensorflow', gatherRowsTensorflow);

/** Blocks of rows of each head, by TensorFlow's ops. */
function gatherRowsTensorflow(
  {data, indices}: KernelInputs<GatherRowsInputs>,
  {blockRows, headColumns}: GatherRowsAttributes,
): tf.TensorInfo {
  return withCheckedIndices(indices, data.shape[2], blockRows, () =>
    tensorflowTensor(ops => {
      const [all, at] = [ops.of(data), ops.of(indices)];
      if (headColumns === undefined) return blocksOf(ops, all, at, blockRows);
      let first = 0;
      const heads = headColumns.map((columns, head) => {
        const own = ops.part(all, 3, first, columns);
        first += columns;
        return blocksOf(ops, own, ops.part(at, 1, head, 1), blockRows);
      });
      return ops.concat(heads, 3);
    }),
  );
}

/**
 * What `gather` gives. TensorFlow refuses indices that name no row, and they are read only then; on a GPU it gives zeros for them.
 * @throws InvalidArgumentError if indices name none of `rows` rows, or none of their whole blocks.
 */
export function withCheckedIndices<Result>(
  indices: tf.TensorInfo,
  rows: number,
  blockRows: number,
  gather: () => Result,
): Result {
  try {
    return gather();
  } catch (error) {
    const numbers = tf.engine().readSync(indices.dataId) as Int32Array;
    const blocks = Math.floor(rows / blockRows);
    const outside = numbers.filter(index => index < 0 || index >= blocks).length;
    throw outside > 0 ? indicesOutside(outside, rows, blockRows) : error;
  }
}

function blocksOf(ops: TensorflowOps, data: Handle, indices: Handle, blockRows: number): Handle {
  const [batch, kvHeads, rows, columns] = data.shape as [number, number, number, number];
  const blocks = Math.floor(rows / blockRows);
  const kept = indices.shape[2]!;
  const whole = ops.part(data, 2, 0, blocks * blockRows);
  const byBlock = ops.reshape(whole, [batch, kvHeads, blocks, blockRows * columns]);
  return ops.reshape(ops.gather(byBlock, indices, 2, 2), [batch, kvHeads, kept * blockRows, columns]);
}
