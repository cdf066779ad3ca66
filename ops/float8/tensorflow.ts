import type * as tf from '@tensorflow/tfjs';
import {wordsOfRows} from '../backends/tensorflow_bytes.js';
import {tensorflowTensor} from '../backends/tensorflow_ops.js';
import {float8Formats, wordsOfRow} from '../encodings/float8.js';
import {registerKernel, type KernelInputs} from '../run_op.js';
import type {EncodeFloat8Options} from './reference.js';

registerKernel('Float8Codes', 'tensorflow', float8CodesTensorflow);

/** `float8CodesReference` by TensorFlow's ops, bit for bit. */
function float8CodesTensorflow(
  {x, scales}: KernelInputs<{x: tf.Tensor4D; scales: tf.Tensor4D}>,
  {format}: EncodeFloat8Options,
): tf.TensorInfo {
  const {mantissaBits, bias, largest} = float8Formats[format];
  return tensorflowTensor(ops => {
    const value = ops.divNoNan(ops.of(x), ops.of(scales));
    const bits = ops.bitcast(value, 'int32');
    const sign = ops.and(ops.shiftRight(bits, 24), 0x80);
    const magnitude = ops.minimum(ops.abs(value), largest);
    const exponent = ops.shiftRight(ops.bitcast(magnitude, 'int32'), 23);
    const field = ops.maximum(ops.sub(ops.cast(exponent, 'float32'), 127 - bias + 1), 0); // 0 for the smallest exponent
    // a power of two of the bits of its exponent: 2^(field + 1 - bias - mantissaBits)
    const raised = ops.cast(ops.add(field, 127 + 1 - bias - mantissaBits), 'int32');
    const step = ops.bitcast(ops.shiftLeft(raised, 23), 'float32');
    const steps = ops.round(ops.div(magnitude, step));
    // a normal number's steps begin at 2^mantissaBits, which is exponent field 1; rounding up carries into the field
    const unsigned = ops.cast(ops.add(ops.mul(field, 2 ** mantissaBits), steps), 'int32');
    const codes = ops.cast(ops.or(unsigned, sign), 'uint8');
    return wordsOfRows(ops, ops.padRows(codes, 4 * wordsOfRow({dim: x.shape[3]})));
  });
}
