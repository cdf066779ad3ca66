import type * as tf from '@tensorflow/tfjs';
import {copyNumbers} from '../backends/webgpu_heads.js';
import {integers, viewAlignment, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';

/** Copies the first `rows` rows of `fresh` into `buffer` from row `at` on, on the GPU; exact for int32 too. */
export function appendRowsWebgpu(buffer: tf.Tensor4D, fresh: tf.Tensor4D, at: number, rows: number): void {
  const [batch, heads, capacity, columns] = buffer.shape;
  const programs = webgpuPrograms()!;
  if (4 * Math.max(buffer.size, fresh.size) > programs.mostBytes) {
    for (let head = 0; head < batch * heads; head++) {
      const source = head * fresh.shape[2] * columns;
      copyNumbers(fresh, source, buffer, (head * capacity + at) * columns, rows * columns);
    }
    return;
  }
  programs.runInPlace(
    appendShader,
    {
      constants: {type: buffer.dtype === 'int32' ? 'i32' : 'f32'},
      inputs: {fresh},
      uniforms: {capacity, stride: fresh.shape[2], at, rows, columns},
      work: batch * heads * rows * columns,
    },
    buffer,
  );
}

/**
 * Rows to allocate for a buffer of `wanted` rows. If it is larger than a binding, a few more, so that each head begins at an
 * offset that a view may have: attention then copies nothing.
 */
export function rowsOfBuffer(heads: number, wanted: number, columns: number): number {
  if (4 * heads * wanted * columns <= webgpuPrograms()!.mostBytes) return wanted;
  return Math.ceil(wanted / viewAlignment) * viewAlignment;
}

type AppendUniform = 'capacity' | 'stride' | 'at' | 'rows' | 'columns';

/** One invocation per element. */
export const appendShader: Shader<{type: 'i32' | 'f32'}, AppendUniform> = {
  name: 'AppendRows',
  uniforms: integers('capacity', 'stride', 'at', 'rows', 'columns'),
  // the conversion changes something only if tfjs cast int32 to float32: that only renames the dtype, and the bits are still
  // integers
  code: ({type}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let column = index % uniforms.columns;
      let row = (index / uniforms.columns) % uniforms.rows;
      let head = index / (uniforms.columns * uniforms.rows);
      let source = (head * uniforms.stride + row) * uniforms.columns + column;
      let destination = (head * uniforms.capacity + uniforms.at + row) * uniforms.columns + column;
      result[destination] = ${type}(fresh[source]);
    }`,
};
