import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {recordsGradient} from '../differentiable.js';
import {type LinearOptions, linears} from '../linear/index.js';
import {checkedAttributes, inputsOf} from '../linear/products.js';
import type {LinearAttributes, LinearInputs} from '../linear/reference.js';
import {defineOp, runOp} from '../run_op.js';
import {swiglu} from '../swiglu/index.js';
import type {Matrix} from '../weights/matrix.js';
import {swigluLinearReference} from './reference.js';
import {swigluLinearWasm} from './wasm.js';
import {swigluLinearWebgpu} from './webgpu.js';

export interface SwigluLinearOptions extends Pick<LinearOptions, 'activations'> {
  /** float32 `[out]`, added to each row of `x W_gate`. Default: none. */
  readonly gateBias?: tf.Tensor | undefined;
  /** float32 `[out]`, added to each row of `x W_up`. Default: none. */
  readonly upBias?: tf.Tensor | undefined;
}

/**
 * The first half of a SwiGLU feed-forward layer (Shazeer, 2020, arXiv 2002.05202), at the price of one call of tfjs:
 * `silu(x W_gate + b) (x W_up + b')`, `silu(x) = x / (1 + e^-x)`. Differentiable as `linear` is. Its errors are those of `linear`,
 * followed by those of `swiglu`.
 *
 * @param x float32 of any shape `[..., in]`.
 * @param gate, up float32 `[in, out]`, or packed; their formats may differ.
 * @returns float32 `[..., out]`.
 * @throws InvalidArgumentError if shapes or dtypes do not fit.
 */
export function swigluLinear(
  x: tf.Tensor,
  gate: Matrix,
  up: Matrix,
  {gateBias, upBias, activations = 'int16'}: SwigluLinearOptions = {},
): tf.Tensor {
  const list = [
    {matrix: gate, bias: gateBias},
    {matrix: up, bias: upBias},
  ];
  const products = checkedAttributes(x, list);
  const [outputs, others] = products.map(product => product.outputs);
  if (outputs !== others) {
    throw new InvalidArgumentError(`The gate has ${outputs} outputs and up has ${others}; expected as many.`);
  }
  if (recordsGradient()) {
    const [gated, upper] = linears(x, list, {activations});
    return swiglu(gated!, upper!);
  }
  return runOp(swigluLinearOp, inputsOf(x, list), {products, activations});
}

const swigluLinearOp = defineOp<LinearInputs, LinearAttributes>({
  name: 'SwigluLinear',
  reference: swigluLinearReference,
  kernels: {wasm: swigluLinearWasm, webgpu: swigluLinearWebgpu},
});
