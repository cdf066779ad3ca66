import * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, workgroupSize, type Shader} from '../backends/webgpu_programs.js';

export function rmsNormWebgpu(
  {x, gain}: {x: tf.TensorInfo; gain: tf.TensorInfo},
  {epsilon}: {epsilon: number},
): tf.TensorInfo {
  const dim = gain.shape[0]!;
  const rows = tf.util.sizeFromShape(x.shape) / dim;
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

/**
 * One workgroup per row: each invocation takes every 64th number. The largest of the row, by which a row of large numbers is
 * divided before it is squared, and the sum of the squares are joined by trees.
 */
export const rmsNormShader: Shader<object, 'rows' | 'dim' | 'across' | 'epsilon'> = {
  name: 'RmsNorm',
  uniforms: {...integers('rows', 'dim', 'across'), epsilon: 'f32'},
  code: () => {
    const join = (how: string) => `
      workgroupBarrier();
      for (var half = ${workgroupSize / 2}; half > 0; half /= 2) {
        if (local < half) { parts[local] = ${how}; }
        workgroupBarrier();
      }`;
    return `
    var<workgroup> parts : array<f32, ${workgroupSize}>;

    fn main() {
      let row = i32(workgroupId.y) * uniforms.across + i32(workgroupId.x);
      let local = i32(localIndex);
      let start = row * uniforms.dim;
      let end = select(0, uniforms.dim, row < uniforms.rows);
      var largest = 1.0;
      for (var i = local; i < end; i += ${workgroupSize}) { largest = max(largest, abs(f32(x[start + i]))); }
      parts[local] = largest;
      ${join('max(parts[local], parts[local + half])')}
      let scale = parts[0];
      workgroupBarrier();
      var sum = 0.0;
      for (var i = local; i < end; i += ${workgroupSize}) {
        let number = f32(x[start + i]) / scale;
        sum += number * number;
      }
      parts[local] = sum;
      ${join('parts[local] + parts[local + half]')}
      let rest = uniforms.epsilon / scale / scale;
      let factor = 1.0 / sqrt(parts[0] / f32(uniforms.dim) + rest) / scale;
      for (var i = local; i < end; i += ${workgroupSize}) {
        result[start + i] = f32(x[start + i]) * factor * f32(gain[i]);
      }
    }`;
  },
};
