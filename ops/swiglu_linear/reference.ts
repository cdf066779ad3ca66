import type * as tf from '@tensorflow/tfjs';
import {linearOp} from '../linear/index.js';
import type {LinearAttributes, LinearInputs} from '../linear/reference.js';
import {runOp} from '../run_op.js';
import {swigluOp} from '../swiglu/index.js';

/** `swigluLinear` by the two ops that it consists of. Product 0 is the gate's. */
export function swigluLinearReference(inputs: LinearInputs, attributes: LinearAttributes): tf.Tensor {
  const [gate, up] = runOp(linearOp, inputs, attributes);
  return runOp(swigluOp, {gate: gate!, up: up!}, {});
}
