import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {decodeEncoding} from '../encodings/decode.js';
import {expectRank4} from '../encodings/encoding.js';
import type {IntegerBits, IntegerEncoding} from '../encodings/integer.js';
import {requireExactIntegers} from '../exact_integers.js';
import {defineOp, runOp} from '../run_op.js';
import {finerStepsReference, groupParametersReference, packCodesReference} from './reference.js';
import type {QuantizeOptions} from './reference.js';
import './tensorflow.js';
import {groupParametersWasm, packCodesWasm} from './wasm.js';
import {finerStepsWebgpu, groupParametersWebgpu, packCodesWebgpu} from './webgpu.js';

export {type QuantizeOptions, quantizeNumbers} from './reference.js';

/**
 * Quantises tokens, group by group, to integer codes (min/max as in KIVI, Liu et al., 2024, arXiv 2402.02750):
 *
 *     scale = max((max - min + |min| / 1024) / (2^bits - 1 - 1/256), absmax / 32768), rounded up to 8 bits of mantissa
 *     zero  = min / scale, rounded down to a multiple of 1/256 in float16
 *     code  = clamp(round(x / scale - zero), 0, 2^bits - 1)
 *
 * so that |x - (code + zero) * scale| <= scale / 2, float32 rounding aside. The terms beside the range make up for the rounding of the
 * zero point. With `symmetric`, scale = absmax / (2^(bits-1) - 1), rounded up likewise, and zero = -2^(bits-1). Codes are rounded to
 * nearest even. A group of zeros has scale 0 and decodes to zeros.
 *
 * @param x float32 `[batch, kvHeads, tokens, dim]`, below 2^127 in magnitude; with `groupAxis: 'channel'`, tokens is a multiple of
 *   groupSize.
 * @throws InvalidArgumentError if the shape does not fit, BackendError if the backend has no exact 32-bit integers.
 */
export function quantize(x: tf.Tensor4D, options: QuantizeOptions): IntegerEncoding {
  const {dim, bits, groupAxis, groupSize} = options;
  expectRank4(x, 'x');
  if (x.shape[3] !== dim) {
    throw new InvalidArgumentError(`x [${x.shape.join(', ')}] does not have dim ${dim} on its last axis.`);
  }
  if (groupAxis === 'channel' && x.shape[2] % groupSize !== 0) {
    throw new InvalidArgumentError(
      `${x.shape[2]} tokens do not divide into groups of ${groupSize} tokens a channel: give a multiple of ${groupSize}.`,
    );
  }
  requireExactIntegers('Integer codes');
  const params = runOp(groupParametersOp, {x}, options);
  const codes = runOp(packCodesOp, {x, params}, options);
  return {kind: 'integer', dim, bits, groupAxis, groupSize, codes, params};
}

/**
 * The same tokens in codes of more bits, for a segment whose other texts need them: every number decodes to the same value. Codes are
 * multiplied by a power of two and scales divided by it, so that attention, which rounds relative to the range of the codes, rounds no more.
 */
export function inWiderCodes(encoding: IntegerEncoding, bits: IntegerBits): IntegerEncoding {
  if (bits === encoding.bits) return encoding;
  const {dim, groupAxis, groupSize} = encoding;
  const wider = {dim, bits, groupAxis, groupSize};
  const params = runOp(finerStepsOp, {params: encoding.params}, {halvings: bits - encoding.bits});
  const x = decodeEncoding(encoding, 0, encoding.codes.shape[2]);
  const codes = runOp(packCodesOp, {x, params}, {...wider, symmetric: false});
  return {kind: 'integer', ...wider, codes, params};
}

const groupParametersOp = defineOp({
  name: 'GroupParameters',
  reference: groupParametersReference,
  kernels: {wasm: groupParametersWasm, webgpu: groupParametersWebgpu},
});

const packCodesOp = defineOp({
  name: 'PackCodes',
  reference: packCodesReference,
  kernels: {wasm: packCodesWasm, webgpu: packCodesWebgpu},
});

/** Exported for tests. */
export const finerStepsOp = defineOp({
  name: 'FinerSteps',
  reference: finerStepsReference,
  kernels: {webgpu: finerStepsWebgpu},
});
