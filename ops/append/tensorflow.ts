import type * as tf from '@tensorflow/tfjs';
import {TensorflowOps, tensorflowTensor} from '../backends/tensorflow_ops.js';
import {inPlace} from './in_place.js';
import {appendKernels} from './kernels.js';

appendKernels.tensorflow = inPlace(appendRowsTensorflow, {allocate: allocateTensorflow, onlyAllocated: true});

/** Copies the first `rows` rows of `fresh` into `buffer` from row `at` on, by TensorFlow's InplaceUpdate. */
function appendRowsTensorflow(buffer: tf.Tensor4D, fresh: tf.Tensor4D, at: number, rows: number): void {
  const [batch, heads, capacity, columns] = buffer.shape;
  const indices = new Int32Array(batch * heads * rows);
  for (let head = 0, i = 0; head < batch * heads; head++) {
    for (let row = 0; row < rows; row++) indices[i++] = head * capacity + at + row;
  }
  const ops = new TensorflowOps();
  try {
    // reshaping copies nothing: this writes into the buffer itself
    const flatBuffer = ops.reshape(ops.of(buffer), [batch * heads * capacity, columns]);
    const taken = ops.part(ops.of(fresh), 2, 0, rows);
    const flatRows = ops.reshape(taken, [batch * heads * rows, columns]);
    ops.writeRows(flatBuffer, ops.constant(indices, [indices.length], 'int32'), flatRows);
  } finally {
    ops.freeAll([]);
  }
}

/**
 * Zeros that ops write into. tfjs-node leaves int32 of the host in the host's memory: on a GPU, a write would go to a copy of it, and be lost.
 * float32 it uploads; int32 is a view of that.
 */
function allocateTensorflow(shape: [number, number, number, number], dtype: tf.DataType): tf.Tensor4D {
  return tensorflowTensor(ops => {
    const floats = ops.zeros(shape);
    return dtype === 'int32' ? ops.bitcast(floats, 'int32') : floats;
  }) as tf.Tensor4D;
}
