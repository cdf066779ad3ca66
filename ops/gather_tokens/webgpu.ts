import type * as tf from '@tensorflow/tfjs';
import {byHeads} from '../backends/webgpu_heads.js';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import type {InfoOf, KernelInputs} from '../run_op.js';
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
  {blockRows, headColumns}: GatherRowsAttributes,
): tf.TensorInfo {
  const [batch, kvHeads, rows, columns] = data.shape;
  const kept = indices.shape[2] * blockRows;
  const dtype = data.dtype === 'int32' ? 'int32' : 'float32';
  if (headColumns !== undefined) return gatherColumns(data, indices, blockRows, headColumns);
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

function gatherColumns(
  data: InfoOf<tf.Tensor4D>,
  indices: InfoOf<tf.Tensor3D>,
  blockRows: number,
  headColumns: readonly number[],
): tf.TensorInfo {
  const programs = webgpuPrograms()!;
  const [batch, , rows, stride] = data.shape;
  const kept = indices.shape[2] * blockRows;
  const dtype = data.dtype === 'int32' ? 'int32' : 'float32';
  const out = programs.make([batch, 1, kept, stride], dtype);
  let first = 0;
  for (const [head, columns] of headColumns.entries()) {
    const work = batch * kept * columns;
    const constants = {type: dtype === 'int32' ? ('i32' as const) : ('f32' as const)};
    const uniforms = {rows, columns, kept, blockRows, stride, first, head, kvHeads: headColumns.length};
    if (work > 0)
      programs.runInPlace(gatherColumnsShader, {constants, inputs: {data, indices}, uniforms, work}, out);
    first += columns;
  }
  return out;
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

type ColumnUniform = 'rows' | 'columns' | 'kept' | 'blockRows' | 'stride' | 'first' | 'head' | 'kvHeads';

/** The same of one head of all texts, which shares its rows with other heads: `columns` of `stride`, from `first` on. */
export const gatherColumnsShader: Shader<{type: 'i32' | 'f32'}, ColumnUniform> = {
  name: 'GatherColumns',
  uniforms: integers('rows', 'columns', 'kept', 'blockRows', 'stride', 'first', 'head', 'kvHeads'),
  code: ({type}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let row = index / uniforms.columns;
      let text = row / uniforms.kept;
      let slot = row * uniforms.stride + uniforms.first + index % uniforms.columns;
      let rowOfText = row % uniforms.kept;
      let keptBlocks = uniforms.kept / uniforms.blockRows;
      let block = i32(indices[(text * uniforms.kvHeads + uniforms.head) * keptBlocks + rowOfText / uniforms.blockRows]);
      if (block < 0 || block >= uniforms.rows / uniforms.blockRows) {
        result[slot] = ${type}(0);
        return;
      }
      let source = text * uniforms.rows + block * uniforms.blockRows + rowOfText % uniforms.blockRows;
      result[slot] = ${type}(data[source * uniforms.stride + uniforms.first + index % uniforms.columns]);
    }`,
};
