import * as tf from '@tensorflow/tfjs';
import {differentiable, recordsGradient} from '../differentiable.js';
import {defineOp, hasKernel, runOp} from '../run_op.js';
import {type Matrix, type PackedMatrix, isPacked} from '../weights/matrix.js';
import {unpack} from '../unpack/index.js';
import {type LinearProduct, checkedAttributes, inputsOf} from './products.js';
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
 * (`'int8'`, only for `packed4` where the engine has relaxed SIMD, else int16), so half a unit times the sum |w_i| is added. The
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
  return runLinear(inputsOf(x, list, residual), {products: attributes, activations});
}

function differentiableProduct(
  x: tf.Tensor,
  {matrix, bias}: LinearProduct,
  attributes: ProductAttributes,
  activations: Activations,
  residual: tf.Tensor | undefined,
): tf.Tensor {
  const product = isPacked(matrix)
    ? packedProduct(x, matrix, attributes, activations)
    : floatProduct(x, matrix, attributes, activations);
  const {outputs} = attributes;
  const biased = bias === undefined ? product : tf.add(tf.reshape(product, [-1, outputs]), bias);
  const shaped = tf.reshape(biased, [...attributes.shape]);
  return residual === undefined ? shaped : tf.add(shaped, tf.reshape(residual, shaped.shape));
}

function floatProduct(
  x: tf.Tensor,
  kernel: tf.Tensor,
  attributes: ProductAttributes,
  activations: Activations,
): tf.Tensor {
  const value = () => runOp(linearOp, {x, matrix0: kernel}, {products: [attributes], activations})[0]!;
  return differentiable([x, kernel], [x, kernel], value, (dy, [input, weights]) => {
    const [inputs = 0, outputs = 0] = weights.shape;
    const rows = tf.reshape<tf.Rank.R2>(dy, [-1, outputs]);
    // tidied, or all transposed kernels of a model would stay until its last gradient is there
    return [
      gradientOfInput(rows, weights, input.shape),
      tf.tidy(() => tf.matMul(tf.transpose(tf.reshape<tf.Rank.R2>(input, [-1, inputs])), rows)),
    ];
  });
}

function packedProduct(
  x: tf.Tensor,
  matrix: PackedMatrix,
  attributes: ProductAttributes,
  activations: Activations,
): tf.Tensor {
  const {records} = matrix;
  const value = () => runOp(linearOp, {x, matrix0: records}, {products: [attributes], activations})[0]!;
  return differentiable([x], [records], value, (dy, [savedRecords]) => {
    const rows = tf.reshape<tf.Rank.R2>(dy, [-1, matrix.outputs]);
    return tf.tidy(() => gradientOfInput(rows, unpack({...matrix, records: savedRecords}), x.shape));
  });
}

/** dy W^T; transposed first, as matMul's own transposition is ten times slower on wasm. */
function gradientOfInput(rows: tf.Tensor2D, kernel: tf.Tensor, shape: number[]): tf.Tensor {
  return tf.tidy(() => tf.reshape(tf.matMul(rows, tf.transpose(kernel)), shape));
}

const linearOp = defineOp<LinearInputs, LinearAttributes, tf.Tensor[]>({
  name: 'Linear',
  reference: linearReference,
  kernels: {wasm: linearWasm, webgpu: linearWebgpu},
});

/** Whether the current backend multiplies by packed matrices as they are; others unpack one for each product. */
export function hasPackedProducts(): boolean {
  return hasKernel(linearOp.name);
}

export function runLinear(inputs: LinearInputs, attributes: LinearAttributes): tf.Tensor[] {
  return runOp(linearOp, inputs, attributes);
}
