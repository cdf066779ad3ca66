import * as tf from '@tensorflow/tfjs';
import type {WeightFormat} from '../weights/formats.js';
import {unpack} from '../unpack/index.js';

/** What rows can be rounded to before a product with packed weights. */
export const activationsAllowed = ['int16', 'int8'] as const;
export type Activations = (typeof activationsAllowed)[number];

/** `matrix<i>` (the matrix, or its records) and `bias<i>` of product i; the residual belongs to the only product. */
export type LinearInputs = {
  x: tf.Tensor;
  residual?: tf.Tensor | undefined;
  [matrixOrBias: `matrix${number}` | `bias${number}`]: tf.Tensor | undefined;
};

/** The names of the inputs of product i. Those of a few products are made once: joining texts takes as long as a small kernel. */
export const matrixName = (i: number): `matrix${number}` => matrixNames[i] ?? `matrix${i}`;
export const biasName = (i: number): `bias${number}` => biasNames[i] ?? `bias${i}`;

const matrixNames = ['matrix0', 'matrix1', 'matrix2'] as const;
const biasNames = ['bias0', 'bias1', 'bias2'] as const;

export interface LinearAttributes {
  readonly products: readonly ProductAttributes[];
  readonly activations: Activations;
}

export interface ProductAttributes {
  readonly inputs: number;
  readonly outputs: number;
  readonly format: WeightFormat;
  /** The shape of the result. */
  readonly shape: readonly number[];
}

/** `linears` in plain tfjs ops; packed weights are unpacked, and x is not rounded. */
export function linearReference(inputs: LinearInputs, {products}: LinearAttributes): tf.Tensor[] {
  return products.map(({inputs: numbers, outputs, format, shape}, i) => {
    const given = inputs[matrixName(i)]!;
    const matrix =
      format === 'float32'
        ? (given as tf.Tensor2D)
        : unpack({format, inputs: numbers, outputs, records: given as tf.Tensor3D});
    const product = tf.matMul(tf.reshape<tf.Rank.R2>(inputs.x, [-1, numbers]), matrix);
    const bias = inputs[biasName(i)];
    const biased = tf.reshape(bias === undefined ? product : tf.add(product, bias), [...shape]);
    const {residual} = inputs;
    return residual === undefined ? biased : tf.add(biased, tf.reshape(residual, biased.shape));
  });
}
