import type * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, workgroupSize, type Shader} from '../backends/webgpu_programs.js';

export function rmsNormWebgpu(
  {x, gain}: {x: tf.TensorInfo; gain: tf.TensorInfo},
  {epsilon}: {epsilon: number},
): tf.TensorInfo {
  const dim = gain.shape[0]!;
  const rows = x.shape.reduce((product, length) => product * length, 1) / dim;
  const across = Math.min(rows, 32768); // an axis of the dispatch ends at 65,535
  return webgpuPrograms()!.run(
    rmsNormShader,
    {
      constants: {},
      inputs: {x, gain},
      uniforms: {rows, dim, across, epsilon},
      work: [across, Math.ceil(rows / across), 1],
    },
    x.shape,
  );
}

/** A workgroup a row: each invocation squares every 64th number, and a tree adds their sums. */
export const rmsNormShader: Shader<object, 'rows' | 'dim' | 'across' | 'epsilon'> = {
  name: 'RmsNorm',
  uniforms: {...integers('rows', 'dim', 'across'), epsilon: 'f32'},
  code: () => `
    var<workgroup> squares : array<f32, ${workgroupSize}>;

    fn main() {
      let row = i32(workgroupId.y) * uniforms.across + i32(workgroupId.x);
      let local = i32(localIndex);
      let start = row * uniforms.dim;
      var sum = 0.0;
      if (row < uniforms.rows) {
        for (var i = local; i < uniforms.dim; i += ${workgroupSize}) {
          let number = f32(x[start + i]);
          sum += number * number;
        }
      }
      squares[local] = sum;
      workgroupBarrier();
      for (var half = ${workgroupSize / 2}; half > 0; half /= 2) {
        if (local < half) { squares[local] += squares[local + half]; }
        workgroupBarrier();
      }
      if (row >= uniforms.rows) { return; }
      let factor = 1.0 / sqrt(squares[0] / f32(uniforms.dim) + uniforms.epsilon);
      for (var i = local; i < uniforms.dim; i += ${workgroupSize}) {
        result[start + i] = f32(x[start + i]) * factor * f32(gain[i]);
      }
    }`,
};
