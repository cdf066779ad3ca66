import type * as tf from '@tensorflow/tfjs';
import {byHeads} from '../backends/webgpu_heads.js';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import {quotientFunction} from '../backends/webgpu_quotient.js';
import {float8Formats, wordsOfRow} from '../encodings/float8.js';
import type {KernelInputs} from '../run_op.js';
import type {EncodeFloat8Options} from './reference.js';

export const float8ScalesWebgpu = byHeads(float8Scales, 'x');

function float8Scales({x}: KernelInputs<{x: tf.Tensor4D}>, {format}: EncodeFloat8Options): tf.TensorInfo {
  const [batch, heads, tokens, dim] = x.shape;
  return webgpuPrograms()!.run(
    float8ScalesShader,
    {constants: {format}, inputs: {x}, uniforms: {dim}, work: batch * heads * tokens},
    [batch, heads, tokens, 1],
  );
}

export const float8CodesWebgpu = byHeads(float8Codes, 'x');

function float8Codes(
  {x, scales}: KernelInputs<{x: tf.Tensor4D; scales: tf.Tensor4D}>,
  {format}: EncodeFloat8Options,
): tf.TensorInfo {
  const [batch, heads, tokens, dim] = x.shape;
  const words = wordsOfRow({dim});
  const rows = batch * heads * tokens;
  return webgpuPrograms()!.run(
    float8CodesShader,
    {constants: {format}, inputs: {x, scales}, uniforms: {dim, words}, work: rows * words},
    [batch, heads, tokens, words],
    'int32',
  );
}

/** One invocation per token. */
export const float8ScalesShader: Shader<EncodeFloat8Options, 'dim'> = {
  name: 'Float8Scales',
  uniforms: integers('dim'),
  code: ({format}) => `
    ${quotientFunction}
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      var largest = 0.0;
      for (var i = 0; i < uniforms.dim; i++) { largest = max(largest, abs(f32(x[index * uniforms.dim + i]))); }
      result[index] = quotient(largest, ${float8Formats[format].largest}.0);
    }`,
};

/** One invocation per word. */
export const float8CodesShader: Shader<EncodeFloat8Options, 'dim' | 'words'> = {
  name: 'Float8Codes',
  uniforms: integers('dim', 'words'),
  code: ({format}) => {
    const {mantissaBits, bias, largest, largestCode} = float8Formats[format];
    return `
    fn codeOf(number : f32) -> u32 {
      let bits = bitcast<u32>(number);
      let sign = (bits >> 24u) & 0x80u;
      let magnitude = abs(number);
      if (magnitude >= ${largest}.0) { return sign | ${largestCode}u; }
      let exponent = max(${1 - bias}, i32((bits >> 23u) & 0xffu) - 127);
      // a normal number's steps begin at 2^${mantissaBits}, which is exponent field 1; rounding up carries into the field
      let steps = round(magnitude * bitcast<f32>(u32(${127 + mantissaBits} - exponent) << 23u));
      return sign | u32((exponent - ${1 - bias}) * ${2 ** mantissaBits} + i32(steps));
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let row = index / uniforms.words;
      let scale = f32(scales[row]);
      var word = 0u;
      for (var e = 0; e < 4; e++) {
        let channel = (index % uniforms.words) * 4 + e;
        if (channel < uniforms.dim && scale != 0.0) {
          word |= codeOf(f32(x[row * uniforms.dim + channel]) / scale) << u32(8 * e);
        }
      }
      result[index] = bitcast<i32>(word);
    }`;
  },
};
