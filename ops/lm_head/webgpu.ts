import * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, workgroupSize, type Shader} from '../backends/webgpu_programs.js';
import type {KernelInputs} from '../run_op.js';
import type {LmHeadInputs} from './reference.js';

/** `lmHead` on the GPU: the matrix is read once for every four rows. */
export function lmHeadWebgpu({x, embedding}: KernelInputs<LmHeadInputs>): tf.TensorInfo {
  const [vocab, dim] = embedding.shape;
  const leading = x.shape.slice(0, -1);
  const rows = tf.util.sizeFromShape(leading);
  return webgpuPrograms()!.run(
    lmHeadShader,
    {
      constants: {},
      inputs: {x, embedding},
      uniforms: {rows, vocab, dim},
      work: [Math.ceil(vocab / words), Math.ceil(rows / rowsAtOnce), 1],
    },
    [...leading, vocab],
  );
}

/** Tokens of the vocabulary and rows of x per workgroup; four invocations share the dim of a token. */
const words = workgroupSize / 4;
const rowsAtOnce = 4;
/** Channels in workgroup memory at once. */
const depth = 64;

export const lmHeadShader: Shader<object, 'rows' | 'vocab' | 'dim'> = {
  name: 'LmHead',
  uniforms: integers('rows', 'vocab', 'dim'),
  code: () => `
    var<workgroup> tile : array<f32, ${words * (depth + 1)}>;
    var<workgroup> input : array<f32, ${rowsAtOnce * depth}>;
    var<workgroup> parts : array<f32, ${rowsAtOnce * workgroupSize}>;

    fn main() {
      let local = i32(localIndex);
      let firstWord = i32(workgroupId.x) * ${words};
      let firstRow = i32(workgroupId.y) * ${rowsAtOnce};
      let word = local / 4;
      let quarter = local % 4;
      var sums = vec4<f32>(0.0);
      for (var start = 0; start < uniforms.dim; start += ${depth}) {
        for (var i = local; i < ${words * depth}; i += ${workgroupSize}) {
          let row = firstWord + i / ${depth};
          let channel = start + i % ${depth};
          var number = 0.0;
          if (row < uniforms.vocab && channel < uniforms.dim) { number = f32(embedding[row * uniforms.dim + channel]); }
          tile[(i / ${depth}) * ${depth + 1} + i % ${depth}] = number;
        }
        for (var i = local; i < ${rowsAtOnce * depth}; i += ${workgroupSize}) {
          let row = firstRow + i / ${depth};
          let channel = start + i % ${depth};
          var number = 0.0;
          if (row < uniforms.rows && channel < uniforms.dim) { number = f32(x[row * uniforms.dim + channel]); }
          input[i] = number;
        }
        workgroupBarrier();
        for (var c = quarter; c < ${depth}; c += 4) {
          let number = tile[word * ${depth + 1} + c];
          sums += number * vec4<f32>(input[c], input[${depth} + c], input[${2 * depth} + c], input[${3 * depth} + c]);
        }
        workgroupBarrier();
      }
      for (var r = 0; r < ${rowsAtOnce}; r++) { parts[r * ${workgroupSize} + local] = sums[r]; }
      workgroupBarrier();
      let row = firstRow + quarter;
      if (row < uniforms.rows && firstWord + word < uniforms.vocab) {
        let at = quarter * ${workgroupSize} + word * 4;
        result[row * uniforms.vocab + firstWord + word] = parts[at] + parts[at + 1] + parts[at + 2] + parts[at + 3];
      }
    }`,
};
