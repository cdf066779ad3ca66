import type * as tf from '@tensorflow/tfjs';
import {webgpuPrograms, type WebgpuProgram} from '../backends/webgpu_programs.js';

/** Copies the first `rows` rows of `fresh` into `buffer` from row `at` on, on the GPU; exact for int32 too. */
export function appendRowsWebgpu(buffer: tf.Tensor4D, fresh: tf.Tensor4D, at: number, rows: number): void {
  const [batch, heads, capacity, columns] = buffer.shape;
  const program = appendProgram(batch * heads * rows * columns, buffer.dtype === 'int32' ? 'i32' : 'f32');
  webgpuPrograms()!.runInPlace(program, [fresh], [capacity, fresh.shape[2], at, rows, columns], buffer);
}

/** One invocation an element; all shapes are uniforms, so that one compiled shader serves them all. */
function appendProgram(elements: number, type: 'i32' | 'f32'): WebgpuProgram {
  const workgroupSize: [number, number, number] = [64, 1, 1];
  return {
    shaderKey: 'eigenkvAppendRows',
    variableNames: ['fresh'],
    outputShape: [elements],
    workgroupSize,
    dispatchLayout: {x: [0]},
    dispatch: [Math.ceil(elements / workgroupSize[0]), 1, 1],
    size: true,
    uniforms: 'capacity : i32, stride : i32, at : i32, rows : i32, columns : i32,',
    // `fresh` and `result` are indexed directly: tfjs' own accessors pass int32 through float32. The conversion changes
    // nothing but where tfjs cast int32 to float32: that only renames the dtype, and the bits are still integers
    getUserCode: () => `
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
}
