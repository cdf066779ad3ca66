import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../batched_matmul/index.js';
import {differentiable, recordsGradient} from '../differentiable.js';
import {wasmHeap} from '../backends/wasm_heap.js';
import {defineOp, hasKernel, runOp} from '../run_op.js';
import {type Matrix, isPacked} from '../weights/matrix.js';
import {unpack} from '../unpack/index.js';
import {type LinearProduct, checkedAttributes, inputsOf, rowsOf} from './products.js';
import {
  type Activations,
  type LinearAttributes,
  type LinearInputs,
  type ProductAttributes,
  linearReference,
} from './reference.js';
import {linearWasm} from './wasm.js';
import {linearWebgpu} from './webgpu.js';

export type {LinearProduct} from './products.js';

export interface LinearOptions extends Omit<LinearProduct, 'matrix'> {
  /** float32 with as many elements as the result, added to it. Default: none. */
  readonly residual?: tf.Tensor | undefined;
  /** What rows of x are rounded to before a packed product, on wasm; shaders multiply float32 and round nothing. Default `'int16'`. */
  readonly activations?: Activations | undefined;
}

/**
 * `x W + b (+ residual)` over the last axis of x, as one 2-D product; float32 weights are read as they lie, without a copy.
 * Differentiable, in x, residual and bias also for packed weights.
 *
 * float32 weights: absolute error <= (in + 4) 2^-24 times the sum of the magnitudes of the terms, if that fits float32. Packed
 * weights: x is rounded in blocks of 32 inputs to whole multiples of the block's largest magnitude / 32,767 (`'int16'`) or / 127
 * (`'int8'`, only for `packed4` where the engine has relaxed SIMD, else int16), so half a unit times the sum |w_i| is added;
 * a block whose magnitudes are below 1e-30 counts as zeros. If a block contains NaN or an infinity, all outputs of its row are NaN
 * (with weights that are not packed, NaN or infinite). float16 and bfloat16 weights are multiplied as float32, x unrounded. The
 * shaders of webgpu do not round x: there packed weights have the error of float32 ones.
 *
 * @param x float32 of any shape with consecutive rows of `in` numbers: `[..., in]`, or that reshaped.
 * @throws InvalidArgumentError if x does not consist of rows of `in` numbers, sizes or dtypes do not fit, or packed records do not
 *   fit their matrix.
 */
export function linear(
  x: tf.Tensor,
  matrix: Matrix,
  {residual, activations, ...product}: LinearOptions = {},
): tf.Tensor {
  return products(x, [{matrix, ...product}], activations, residual)[0]!;
}

/** Several products of the same x, at the price of one call of tfjs and one rounding of x: see `linear`. */
export function linears(
  x: tf.Tensor,
  list: readonly LinearProduct[],
  {activations}: Pick<LinearOptions, 'activations'> = {},
): tf.Tensor[] {
  return products(x, list, activations, undefined);
}

function products(
  x: tf.Tensor,
  list: readonly LinearProduct[],
  activations: Activations = 'int16',
  residual: tf.Tensor | undefined,
): tf.Tensor[] {
  if (list.length === 0) return [];
  const attributes = checkedAttributes(x, list, residual);
  if (recordsGradient()) {
    return list.map((product, i) => differentiableProduct(x, product, attributes[i]!, activations, residual));
  }
  return runOp(linearOp, inputsOf(x, list, residual), {products: attributes, activations});
}

/** One product, with the gradients dx = dy W^T, dW = x^T dy, those of the bias, the sum of dy, and of the residual, dy. */
function differentiableProduct(
  x: tf.Tensor,
  product: LinearProduct,
  attributes: ProductAttributes,
  activations: Activations,
  residual: tf.Tensor | undefined,
): tf.Tensor {
  const {matrix, bias} = product;
  const {inputs, outputs} = attributes;
  const weights = isPacked(matrix) ? matrix.records : matrix;
  const parts: [input: tf.Tensor, gradient: (dy: tf.Tensor, saved: readonly tf.Tensor[]) => tf.Tensor][] = [
    [
      x,
      (dy, [, saved]) => {
        const kernel = isPacked(matrix)
          ? unpack({...matrix, records: saved as tf.Tensor3D})
          : (saved as tf.Tensor2D);
        return tf.reshape(batchedMatMul(rowsOf(dy, outputs), kernel, {transposeB: true}), x.shape);
      },
    ],
  ];
  if (!isPacked(matrix)) {
    parts.push([
      matrix,
      (dy, [saved]) => batchedMatMul(rowsOf(saved!, inputs), rowsOf(dy, outputs), {transposeA: true}),
    ]);
  }
  if (bias !== undefined) parts.push([bias, dy => tf.reshape(tf.sum(rowsOf(dy, outputs), 0), bias.shape)]);
  if (residual !== undefined) parts.push([residual, dy => tf.reshape(dy, residual.shape)]);
  return differentiable(
    parts.map(([input]) => input),
    [x, weights],
    () => runOp(linearOp, inputsOf(x, [product], residual), {products: [attributes], activations})[0]!,
    parts.map(([, gradient]) => gradient),
  );
}

export const linearOp = defineOp<LinearInputs, LinearAttributes, tf.Tensor[]>({
  name: 'Linear',
  reference: linearReference,
  kernels: {wasm: linearWasm, webgpu: linearWebgpu},
});

/** Whether the current backend rounds inputs to 8 bits if asked to; others take `'int8'` for `'int16'`. */
export function hasInt8Products(): boolean {
  return tf.getBackend() === 'wasm' && wasmHeap()?.hasRelaxedSimd === true;
}

/** Whether the current backend multiplies by packed matrices as they are; others unpack one for each product. */
export function hasPackedProducts(): boolean {
  return hasKernel(linearOp.name);
}
