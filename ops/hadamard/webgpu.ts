import * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import type {HadamardAttributes} from './reference.js';

export function hadamardWebgpu({x}: {x: tf.TensorInfo}, {block}: HadamardAttributes): tf.TensorInfo {
  return webgpuPrograms()!.run(
    hadamardShader,
    {
      constants: {},
      inputs: {x},
      uniforms: {block, factor: 1 / Math.sqrt(block)},
      work: tf.util.sizeFromShape(x.shape),
    },
    x.shape,
  );
}

/** One invocation per number: a sum over its block, signed by the bits that both indices share. */
export const hadamardShader: Shader<object, 'block' | 'factor'> = {
  name: 'Hadamard',
  uniforms: {...integers('block'), factor: 'f32'},
  code: () => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let own = index % uniforms.block;
      var sum = 0.0;
      for (var i = 0; i < uniforms.block; i++) {
        let number = f32(x[index - own + i]);
        sum += select(number, -number, (countOneBits(i & own) & 1) == 1);
      }
      result[index] = sum * uniforms.factor;
    }`,
};
