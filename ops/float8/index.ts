import * as tf from '@tensorflow/tfjs';
import {expectRank4} from '../encodings/encoding.js';
import type {Float8Encoding} from '../encodings/float8.js';
import {requireExactIntegers} from '../exact_integers.js';
import {defineOp, runOp} from '../run_op.js';
import {float8CodesReference, float8ScalesReference} from './reference.js';
import type {EncodeFloat8Options} from './reference.js';
import './tensorflow.js';
import {float8CodesWasm, float8ScalesWasm} from './wasm.js';
import {float8CodesWebgpu, float8ScalesWebgpu} from './webgpu.js';

export type {EncodeFloat8Options} from './reference.js';

/**
 * Encodes tokens as eight-bit floating point numbers (Micikevicius et al., 2022, arXiv 2209.05433), each token with a
 * scale that maps its largest magnitude to the format's largest number (448 or 57344):
 *
 *     scale = absmax / largest          code = encode(x / scale), rounded to nearest even, saturating
 *
 * in float32 arithmetic. |x' - x| <= |x| / 16 (e4m3) or |x| / 8 (e5m2), or half the smallest step of the token's scale if that
 * is more. A token of zeros has scale 0 and decodes to zeros.
 *
 * @param x float32 `[batch, kvHeads, tokens, dim]`, finite.
 * @throws InvalidArgumentError if the shape does not fit, BackendError if the backend has no exact 32-bit integers.
 */
export function encodeFloat8(x: tf.Tensor4D, {format}: EncodeFloat8Options): Float8Encoding {
  expectRank4(x, 'x');
  requireExactIntegers('Float8 codes');
  const scales = runOp(float8ScalesOp, {x}, {format});
  const codes = runOp(float8CodesOp, {x, scales}, {format});
  return {kind: 'float8', dim: x.shape[3], format, codes, scales};
}

const float8ScalesOp = defineOp({
  name: 'Float8Scales',
  reference: float8ScalesReference,
  kernels: {wasm: float8ScalesWasm, webgpu: float8ScalesWebgpu},
});

const float8CodesOp = defineOp({
  name: 'Float8Codes',
  reference: float8CodesReference,
  kernels: {wasm: float8CodesWasm, webgpu: float8CodesWebgpu},
});
