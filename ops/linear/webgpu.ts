import type * as tf from '@tensorflow/tfjs';
import {sizeOf} from '../backends/webgpu_device.js';
import {webgpuPrograms} from '../backends/webgpu_programs.js';
import type {KernelInputs} from '../run_op.js';
import {inputsOfRecord, outputsOfRecord} from '../weights/formats.js';
import {type Groups, runByParts} from '../weights/webgpu_parts.js';
import type {LinearAttributes, LinearInputs, ProductAttributes} from './reference.js';
import {type ManyRows, fewRowsAtOnce, fewRowsShader, manyOutputs, manyRowsShader} from './webgpu_shaders.js';

/**
 * Up to this many rows, a matrix is read once for every four of them; more are multiplied by tiles. Of 8 rows, llvmpipe needs a third of the
 * time in this way, and SwiftShader three times as much; tiles give a GPU a quarter of the workgroups, few for most matrices.
 */
const mostFewRows = 8;

/** `linears` on the GPU, a program for each product; numbers of x are not rounded, whatever `activations` is. */
export function linearWebgpu(
  inputs: KernelInputs<LinearInputs>,
  {products}: LinearAttributes,
): tf.TensorInfo[] {
  const {x, residual} = inputs;
  const results: tf.TensorInfo[] = [];
  try {
    products.forEach((product, i) => {
      const given = {x, residual, matrix: inputs[`matrix${i}`]!, bias: inputs[`bias${i}`]};
      results.push(multiplyOnGpu(given, product));
    });
    return results;
  } catch (error) {
    results.forEach(webgpuPrograms()!.dispose);
    throw error;
  }
}

interface ProductInputs {
  readonly x: tf.TensorInfo;
  readonly matrix: tf.TensorInfo;
  readonly bias: tf.TensorInfo | undefined;
  /** Added to the product. */
  readonly residual?: tf.TensorInfo | undefined;
  /** The product is multiplied by silu of it. */
  readonly gate?: tf.TensorInfo | undefined;
}

/** One product. */
export function multiplyOnGpu(
  given: ProductInputs,
  {inputs, outputs, format, shape}: ProductAttributes,
): tf.TensorInfo {
  const rows = sizeOf(shape) / outputs;
  const blocks = Math.ceil(inputs / inputsOfRecord);
  const constants = {
    format,
    inputsByFours: inputs % 4 === 0,
    matrixByFours: format !== 'float32' || outputs % 4 === 0,
    bias: given.bias !== undefined,
    residual: given.residual !== undefined,
    gate: given.gate !== undefined,
  };
  const run = ({records, first}: Groups) => ({
    inputs: {...given, matrix: records},
    uniforms: {rows, inputs, outputs, blocks, firstGroup: first},
  });
  const groupsOf = ({records}: Groups) =>
    format === 'float32' ? Math.ceil(outputs / outputsOfRecord) : records.shape[0]!;
  if (rows <= mostFewRows) {
    const atOnce = rows === 1 ? 1 : fewRowsAtOnce;
    const runFew = (groups: Groups) => ({
      ...run(groups),
      constants: {...constants, rows: atOnce},
      work: [groupsOf(groups), Math.ceil(rows / atOnce), 1] as const,
    });
    return runByParts(fewRowsShader, given.matrix, runFew, shape);
  }
  const atOnce: ManyRows = rows <= 32 ? 32 : 64;
  const runMany = (groups: Groups) => ({
    ...run(groups),
    constants: {...constants, rows: atOnce},
    work: [
      Math.ceil((groupsOf(groups) * outputsOfRecord) / manyOutputs),
      Math.ceil(rows / atOnce),
      1,
    ] as const,
  });
  return runByParts(manyRowsShader, given.matrix, runMany, shape);
}
