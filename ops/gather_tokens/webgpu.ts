import type * as tf from '@tensorflow/tfjs';
import {byHeads} from '../backends/webgpu_heads.js';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';

/**
 * Rows of each head, bit for bit. Whether every index names a row cannot be known at once here: one that does not gives a
 * row of zeros.
 */
export const gatherRowsWebgpu = byHeads(gatherRowsOfHeads, 'data');

function gatherRowsOfHeads({data, indices}: {data: tf.TensorInfo; indices: tf.TensorInfo}): tf.TensorInfo {
  const [batch, kvHeads, rows, columns] = data.shape as [number, number, number, number];
  const kept = indices.shape[2]!;
  const dtype = data.dtype === 'int32' ? 'int32' : 'float32';
  return webgpuPrograms()!.run(
    gatherRowsShader,
    {
      constants: {type: dtype === 'int32' ? 'i32' : 'f32'},
      inputs: {data, indices},
      uniforms: {rows, columns, kept},
      work: batch * kvHeads * kept * columns,
    },
    [batch, kvHeads, kept, columns],
    dtype,
  );
}

/** One invocation an element. */
export const gatherRowsShader: Shader<{type: 'i32' | 'f32'}, 'rows' | 'columns' | 'kept'> = {
  name: 'GatherRows',
  uniforms: integers('rows', 'columns', 'kept'),
  code: ({type}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let row = index / uniforms.columns;
      let head = row / uniforms.kept;
      let source = i32(indices[row]);
      if (source < 0 || source >= uniforms.rows) {
        result[index] = ${type}(0);
        return;
      }
      result[index] = ${type}(data[(head * uniforms.rows + source) * uniforms.columns + index % uniforms.columns]);
    }`,
};
