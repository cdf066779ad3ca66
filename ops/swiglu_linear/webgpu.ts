import type * as tf from '@tensorflow/tfjs';
import {webgpuPrograms} from '../backends/webgpu_programs.js';
import type {LinearAttributes, LinearInputs} from '../linear/reference.js';
import {multiplyOnGpu} from '../linear/webgpu.js';
import type {KernelInputs} from '../run_op.js';

/** `swigluLinear` on the GPU: the gate's product, then that of up, which is multiplied by silu of the gate before it is stored. */
export function swigluLinearWebgpu(
  {x, matrix0, bias0, matrix1, bias1}: KernelInputs<LinearInputs>,
  {products: [gate, up]}: LinearAttributes,
): tf.TensorInfo {
  const gated = multiplyOnGpu({x, matrix: matrix0!, bias: bias0}, gate!);
  try {
    return multiplyOnGpu({x, matrix: matrix1!, bias: bias1, gate: gated}, up!);
  } finally {
    webgpuPrograms()!.dispose(gated);
  }
}
