import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {type Matrix, checkPacked, isPacked, outputsOf} from '../weights/matrix.js';
import {type LinearInputs, type ProductAttributes, biasName, matrixName} from './reference.js';

/** One product of `linears`. */
export interface LinearProduct {
  /** float32 `[in, out]`, or packed. */
  readonly matrix: Matrix;
  /** float32 `[out]`, added to each row. Default: none. */
  readonly bias?: tf.Tensor | undefined;
  /** Shape of the result, with the same number of elements. Default: that of x, with `out` as its last axis. */
  readonly shape?: readonly number[] | undefined;
}

/** A tensor of any shape as rows of so many numbers. */
export function rowsOf(tensor: tf.Tensor, numbers: number): tf.Tensor2D {
  return tf.reshape<tf.Rank.R2>(tensor, [-1, numbers]);
}

/** What the op takes. */
export function inputsOf(
  x: tf.Tensor,
  products: readonly LinearProduct[],
  residual?: tf.Tensor,
): LinearInputs {
  const inputs: LinearInputs = {x};
  if (residual !== undefined) inputs.residual = residual;
  for (let i = 0; i < products.length; i++) {
    const {matrix, bias} = products[i]!;
    inputs[matrixName(i)] = isPacked(matrix) ? matrix.records : matrix;
    if (bias !== undefined) inputs[biasName(i)] = bias;
  }
  return inputs;
}

/** What the products of x are, if everything fits. @throws InvalidArgumentError if not. */
export function checkedAttributes(
  x: tf.Tensor,
  products: readonly LinearProduct[],
  residual?: tf.Tensor,
): ProductAttributes[] {
  expectFloats('x', x);
  const inputs = inputsOfMatrix(products[0]!.matrix);
  const rows = x.size / inputs;
  if (!Number.isInteger(rows)) throw unfit(x, products);
  const list: ProductAttributes[] = [];
  for (const {matrix, bias, shape} of products) {
    if (inputsOfMatrix(matrix) !== inputs) throw unfit(x, products);
    const outputs = outputsOf(matrix);
    if (isPacked(matrix)) checkPacked(matrix);
    else expectFloats('kernel', matrix);
    if (bias !== undefined) expectFloats('bias', bias, outputs);
    if (residual !== undefined) expectFloats('residual', residual, rows * outputs);
    const attributes: ProductAttributes = {
      inputs,
      outputs,
      format: isPacked(matrix) ? matrix.format : 'float32',
      shape: shape ?? [...x.shape.slice(0, -1), outputs],
    };
    checkShape(x, rows, attributes);
    list.push(attributes);
  }
  return list;
}

/** NaN if it is no matrix. */
function inputsOfMatrix(matrix: Matrix): number {
  if (isPacked(matrix)) return matrix.inputs;
  return matrix.rank === 2 ? matrix.shape[0] : NaN;
}

function unfit(x: tf.Tensor, products: readonly LinearProduct[]): InvalidArgumentError {
  const kernels = products.map(({matrix}) =>
    (isPacked(matrix) ? [matrix.inputs, matrix.outputs] : matrix.shape).join(', '),
  );
  return new InvalidArgumentError(
    `x [${x.shape.join(', ')}] and kernel [${kernels.join('], [')}] do not fit: expected a kernel [in, out], with the same \`in\` ` +
      'for all products of x, and rows of `in` numbers.',
  );
}

function expectFloats(name: string, {dtype, shape, size}: tf.Tensor, expected = size): void {
  if (dtype === 'float32' && size === expected) return;
  throw new InvalidArgumentError(
    `The ${name} of a product is ${dtype} [${shape.join(', ')}]; expected ${expected} numbers of dtype float32.`,
  );
}

function checkShape(x: tf.Tensor, rows: number, {inputs, outputs, shape}: ProductAttributes): void {
  let size = 1;
  for (const length of shape) size *= length;
  if (size === rows * outputs) return;
  throw new InvalidArgumentError(
    `x [${x.shape.join(', ')}] has ${rows} rows of ${inputs} numbers, so its product has ${rows} rows of ${outputs}, which do not ` +
      `fit the shape [${shape.join(', ')}].`,
  );
}
