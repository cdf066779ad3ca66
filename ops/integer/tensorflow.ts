import type * as tf from '@tensorflow/tfjs';
import {type Handle, type TensorflowOps, tensorflowTensor} from '../backends/tensorflow_ops.js';
import {
  extremesOfGroups,
  groupNumbers,
  packIntegers,
  spreadOverGroups,
} from '../encodings/integer_tensorflow.js';
import {registerKernel, type KernelInputs} from '../run_op.js';
import type {QuantizeOptions} from './reference.js';

registerKernel('GroupParameters', 'tensorflow', groupParametersTensorflow);
registerKernel('PackCodes', 'tensorflow', packCodesTensorflow);

// `quantize` by TensorFlow's ops, bit for bit as the reference, but for subnormal numbers, which TensorFlow takes for zeros.

function groupParametersTensorflow(
  {x}: KernelInputs<{x: tf.Tensor4D}>,
  options: QuantizeOptions,
): tf.TensorInfo {
  return tensorflowTensor(ops => {
    const {low, high} = extremesOfGroups(ops, ops.of(x), options);
    const absolute = ops.maximum(ops.abs(low), ops.abs(high));
    if (options.symmetric) {
      const scale = roundedUp(ops, ops.div(absolute, 2 ** (options.bits - 1) - 1));
      return wordsOf(ops, scale, ops.mul(isPositive(ops, scale), -(2 ** (options.bits - 1))));
    }
    const steps = 2 ** options.bits - 1 - 2 ** -8;
    const lowest = ops.div(low, steps);
    const range = ops.add(ops.sub(ops.div(high, steps), lowest), ops.div(ops.abs(lowest), 1024));
    const scale = roundedUp(ops, ops.maximum(range, ops.div(absolute, 32768)));
    return wordsOf(ops, scale, zeroBelow(ops, ops.divNoNan(low, scale)));
  });
}

function packCodesTensorflow(
  {x, params}: KernelInputs<{x: tf.Tensor4D; params: tf.Tensor4D}>,
  options: QuantizeOptions,
): tf.TensorInfo {
  return tensorflowTensor(ops => {
    const {scale, zero} = groupNumbers(ops, ops.of(params));
    const [ofScale, ofZero] = [scale, zero].map(each => spreadOverGroups(ops, each, options, x.shape[2])) as [
      Handle,
      Handle,
    ];
    const steps = ops.round(ops.sub(ops.divNoNan(ops.of(x), ofScale), ofZero));
    const codes = ops.maximum(ops.minimum(steps, 2 ** options.bits - 1), 0);
    return packIntegers(ops, codes, options);
  });
}

/** The power of two that is not above a positive number: its exponent alone. */
function powerBelow(ops: TensorflowOps, x: Handle): Handle {
  return ops.bitcast(ops.and(ops.bitcast(x, 'int32'), 0x7f800000), 'float32');
}

/** 1 where a number is above 0, else 0. */
function isPositive(ops: TensorflowOps, x: Handle): Handle {
  return ops.divNoNan(x, x);
}

/** Positive numbers rounded up to 8 bits of mantissa. */
function roundedUp(ops: TensorflowOps, x: Handle): Handle {
  const below = ops.bitcast(ops.and(ops.bitcast(x, 'int32'), 0x7fff8000), 'float32');
  const isBelow = ops.cast(ops.less(below, x), 'float32');
  return ops.add(below, ops.mul(ops.mul(powerBelow(ops, x), 2 ** -8), isBelow));
}

/** The largest multiples of 1/256 in float16 that are not above numbers. */
function zeroBelow(ops: TensorflowOps, x: Handle): Handle {
  const unit = ops.maximum(ops.div(powerBelow(ops, x), 1024), 1 / 256);
  return ops.mul(ops.floor(ops.div(x, unit)), unit);
}

/** Words of parameters. */
function wordsOf(ops: TensorflowOps, scale: Handle, zero: Handle): Handle {
  const upper = ops.and(ops.shiftLeft(ops.bitcast(scale, 'int32'), 1), 0xffff0000 | 0);
  const positiveZero = ops.add(zero, 0); // -0 is 0
  const lower = ops.cast(ops.bitcast(ops.cast(positiveZero, 'float16'), 'uint16'), 'int32');
  return ops.or(upper, lower);
}
