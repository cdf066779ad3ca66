import * as tf from '@tensorflow/tfjs';
import type {LinearAttributes} from './reference.js';

/** `linear` by tfjs' own product, without the two reshapes around it, each of which takes as long as a small kernel. */
export function linearWasm(
  {x, kernel}: {x: tf.TensorInfo; kernel: tf.TensorInfo},
  {shape}: LinearAttributes,
): tf.TensorInfo {
  const inputs = kernel.shape[0]!;
  const {dataId, dtype} = x;
  const rows = {dataId, dtype, shape: [tf.util.sizeFromShape(x.shape) / inputs, inputs]};
  const product = tf.getKernel('BatchMatMul', 'wasm').kernelFunc({
    inputs: {a: rows, b: kernel},
    attrs: {transposeA: false, transposeB: false},
    backend: tf.backend(),
  }) as tf.TensorInfo;
  product.shape = [...shape];
  return product;
}
