import type * as tf from '@tensorflow/tfjs';
import {byHeads} from '../backends/webgpu_heads.js';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import type {KernelInputs} from '../run_op.js';
import type {GatherRowsAttributes, GatherRowsInputs} from './reference.js';

/**
 * Blocks of rows of each head, bit for bit. Whether every index names a block cannot be checked here: one that does not
 * gives rows of zeros.
 */
export const gatherRowsWebgpu = byHeads(
  gatherRowsOfHeads,
  'data',
  ({data, indices}, {blockRows}) => indices.shape[2] * blockRows * data.shape[3],
);

function gatherRowsOfHeads(
  {data, indices}: KernelInputs<GatherRowsInputs>,
  {blockRows}: GatherRowsAttributes,
): tf.TensorInfo {
  const [batch, kvHeads, rows, columns] = data.shape;
  const kept = indices.shape[2] * blockRows;
  const dtype = data.dtype === 'int32' ? 'int32' : 'float32';
  return webgpuPrograms()!.run(
    gatherRowsShader,
    {
      constants: {type: dtype === 'int32' ? 'i32' : 'f32'},
      inputs: {data, indices},
      uniforms: {rows, columns, kept, blockRows},
      work: batch * kvHeads * kept * columns,
    },
    [batch, kvHeads, kept, columns],
    dtype,
  );
}

/** One invocation per element. */
export const gatherRowsShader: Shader<{type: 'i32' | 'f32'}, 'rows' | 'columns' | 'kept' | 'blockRows'> = {
  name: 'GatherRows',
  uniforms: integers('rows', 'columns', 'kept', 'blockRows'),
  code: ({type}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let row = index / uniforms.columns;
      let head = row / uniforms.kept;
      let block = i32(indices[row / uniforms.blockRows]);
      if (block < 0 || block >= uniforms.rows / uniforms.blockRows) {
        result[index] = ${type}(0);
        return;
      }
      let source = head * uniforms.rows + block * uniforms.blockRows + row % uniforms.blockRows;
      result[index] = ${type}(data[source * uniforms.columns + index % uniforms.columns]);
    }`,
};
