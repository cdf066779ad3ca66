import type * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';

/** Copies the first `rows` rows of `fresh` into `buffer` from row `at` on, on the GPU; exact for int32 too. */
export function appendRowsWebgpu(buffer: tf.Tensor4D, fresh: tf.Tensor4D, at: number, rows: number): void {
  const [batch, heads, capacity, columns] = buffer.shape;
  webgpuPrograms()!.runInPlace(
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

type AppendUniform = 'capacity' | 'stride' | 'at' | 'rows' | 'columns';

/** One invocation an element. */
export const appendShader: Shader<{type: 'i32' | 'f32'}, AppendUniform> = {
  name: 'AppendRows',
  uniforms: integers('capacity', 'stride', 'at', 'rows', 'columns'),
  // the conversion changes nothing but where tfjs cast int32 to float32: that only renames the dtype, and the bits are still
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
