import * as tf from '@tensorflow/tfjs';

/** The one file that touches tfjs-node's internals: it runs any eager TensorFlow op by its name. */
interface TensorflowEager {
  /**
   * TensorFlow's `InplaceUpdate`: `x[indices[i]] = rows[i]` in x's own memory.
   *
   * @param x float32 or int32 `[rows, columns]`; a reshaped tensor shares the memory of what it was made from.
   * @param indices int32 `[n]`. One beyond x's rows is taken modulo the rows, without an error: check before.
   * @param rows `[n, columns]` of x's dtype.
   */
  inplaceUpdate(x: tf.Tensor2D, indices: tf.Tensor1D, rows: tf.Tensor2D): void;
}

interface TfjsNodeBackend {
  readonly binding: {readonly TF_ATTR_TYPE: number; readonly TF_FLOAT: number; readonly TF_INT32: number};
  executeSingleOutput(
    name: string,
    attributes: {name: string; type: number; value: number}[],
    inputs: tf.Tensor[],
  ): tf.Tensor;
}

/** Runs TensorFlow's ops; undefined if the current backend is not `tensorflow` or its internals are not the known ones. */
export function tensorflowEager(): TensorflowEager | undefined {
  if (tf.getBackend() !== 'tensorflow') return undefined;
  const backend: unknown = tf.backend();
  if (!isTfjsNodeBackend(backend)) return undefined;
  const {TF_ATTR_TYPE, TF_FLOAT, TF_INT32} = backend.binding;
  return {
    inplaceUpdate: (x, indices, rows) => {
      const attributes = [{name: 'T', type: TF_ATTR_TYPE, value: x.dtype === 'int32' ? TF_INT32 : TF_FLOAT}];
      // the op gives back x itself under a new handle
      backend.executeSingleOutput('InplaceUpdate', attributes, [x, indices, rows]).dispose();
    },
  };
}

function isTfjsNodeBackend(backend: unknown): backend is TfjsNodeBackend {
  const candidate = backend as Partial<TfjsNodeBackend> | null;
  return (
    typeof candidate?.executeSingleOutput === 'function' &&
    typeof candidate.binding?.TF_ATTR_TYPE === 'number'
  );
}
