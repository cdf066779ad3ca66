import type * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import type {KernelInputs} from '../run_op.js';
import type {ExpandPartialInputs, ProjectInputs} from './reference.js';

/** `project`, with sums in the same order for any number of tokens: tfjs' products choose another shader by the number of rows. */
export function projectWebgpu({x, basis}: KernelInputs<ProjectInputs>): tf.TensorInfo {
  const [batch, heads, tokens, dim] = x.shape;
  const [, kvHeads, rank] = basis.shape;
  return webgpuPrograms()!.run(
    projectShader,
    {
      constants: {byFours: dim % 4 === 0},
      inputs: {x, basis},
      uniforms: {dim, rank, rowsOfHead: (heads / kvHeads) * tokens},
      work: batch * heads * tokens * rank,
    },
    [batch, heads, tokens, rank],
  );
}

/** One invocation per number. */
export const projectShader: Shader<{readonly byFours: boolean}, 'dim' | 'rank' | 'rowsOfHead'> = {
  name: 'Project',
  uniforms: integers('dim', 'rank', 'rowsOfHead'),
  vectors: ({byFours}) => (byFours ? ['x', 'basis'] : []),
  code: ({byFours}) => {
    const type = byFours ? 'vec4<f32>' : 'f32';
    return `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let count = uniforms.dim${byFours ? ' / 4' : ''};
      let row = index / uniforms.rank;
      let xAt = row * count;
      let basisAt = (row / uniforms.rowsOfHead * uniforms.rank + index % uniforms.rank) * count;
      var sum = ${type}(0.0);
      for (var i = 0; i < count; i++) { sum += ${type}(x[xAt + i]) * ${type}(basis[basisAt + i]); }
      result[index] = ${byFours ? '(sum.x + sum.y) + (sum.z + sum.w)' : 'sum'};
    }`;
  },
};

/** `expandPartial` in one pass. */
export function expandPartialWebgpu(inputs: KernelInputs<ExpandPartialInputs>): tf.TensorInfo {
  const {partial, basis, mean, shift} = inputs;
  const [batch, heads, tokens, columns] = partial.shape;
  const inner = columns - 2;
  const dim = basis?.shape[3] ?? inner;
  const kvHeads = (basis ?? mean)?.shape[1] ?? heads;
  return webgpuPrograms()!.run(
    expandPartialShader,
    {
      constants: {basis: basis !== undefined, mean: mean !== undefined, shift: shift !== undefined},
      inputs: {partial, basis, mean, shift},
      uniforms: {inner, dim, rowsOfHead: (heads / kvHeads) * tokens},
      work: batch * heads * tokens * (dim + 2),
    },
    [batch, heads, tokens, dim + 2],
  );
}

interface ExpandConstants {
  readonly basis: boolean;
  readonly mean: boolean;
  readonly shift: boolean;
}

/** One invocation per number. */
export const expandPartialShader: Shader<ExpandConstants, 'inner' | 'dim' | 'rowsOfHead'> = {
  name: 'ExpandPartial',
  uniforms: integers('inner', 'dim', 'rowsOfHead'),
  code: ({basis, mean, shift}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let column = index % (uniforms.dim + 2);
      let row = index / (uniforms.dim + 2);
      let start = row * (uniforms.inner + 2);
      let head = row / uniforms.rowsOfHead;
      let largest = f32(partial[start + uniforms.inner]);
      let total = f32(partial[start + uniforms.inner + 1]);
      if (column == uniforms.dim) {
        result[index] = largest${shift ? ' + f32(shift[row])' : ''};
        return;
      }
      if (column > uniforms.dim) {
        result[index] = total;
        return;
      }
      ${
        basis
          ? `var sum = 0.0;
      let basisAt = head * uniforms.inner * uniforms.dim + column;
      for (var r = 0; r < uniforms.inner; r++) { sum += f32(partial[start + r]) * f32(basis[basisAt + r * uniforms.dim]); }`
          : 'var sum = f32(partial[start + column]);'
      }
      ${mean ? 'sum += total * f32(mean[head * uniforms.dim + column]);' : ''}
      result[index] = sum;
    }`,
};
