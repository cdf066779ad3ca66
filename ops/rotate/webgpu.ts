import * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import type {InfoOf, KernelInputs} from '../run_op.js';
import type {RotateAttributes, RotateInputs} from './reference.js';

/** A program has one result, so each tensor has its own. */
export function rotateWebgpu(
  {x0, x1, cos, sin}: KernelInputs<RotateInputs>,
  {interleaved}: RotateAttributes,
): tf.TensorInfo[] {
  const rotated = (x: InfoOf<tf.Tensor4D>) => {
    const [, , tokens, dim] = x.shape;
    return webgpuPrograms()!.run(
      rotateShader,
      {
        constants: {interleaved},
        inputs: {x, cos, sin},
        uniforms: {tokens, dim, pairs: cos.shape[1]},
        work: tf.util.sizeFromShape(x.shape),
      },
      x.shape,
    );
  };
  return x1 === undefined ? [rotated(x0)] : [rotated(x0), rotated(x1)];
}

/** One invocation per channel; it reads the other channel of its pair as well. */
export const rotateShader: Shader<{interleaved: boolean}, 'tokens' | 'dim' | 'pairs'> = {
  name: 'Rotate',
  uniforms: integers('tokens', 'dim', 'pairs'),
  code: ({interleaved}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let channel = index % uniforms.dim;
      let own = f32(x[index]);
      if (channel >= 2 * uniforms.pairs) {
        result[index] = own;
        return;
      }
      let token = (index / uniforms.dim) % uniforms.tokens;
      ${
        interleaved
          ? 'let pair = channel / 2; let first = channel % 2 == 0; let step = 1;'
          : 'let pair = channel % uniforms.pairs; let first = channel < uniforms.pairs; let step = uniforms.pairs;'
      }
      let other = f32(x[index + select(-step, step, first)]);
      let c = f32(cos[token * uniforms.pairs + pair]);
      let s = f32(sin[token * uniforms.pairs + pair]);
      result[index] = own * c + other * select(s, -s, first);
    }`,
};
