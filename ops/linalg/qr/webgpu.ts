import type * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../../base/errors.js';
import {integers, webgpuPrograms, type Shader} from '../../backends/webgpu_programs.js';
import type {KernelInputs} from '../../run_op.js';
import {jacobiText, jacobiThreads as threads, largestOfParts, programsOf} from '../webgpu_jacobi.js';

/** One workgroup for a matrix takes too long for larger ones. */
const [mostRows, mostLength] = [1024, 8192];

/** `qr` by Householder's reflections, a workgroup a matrix. */
export function qrWebgpu({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const programs = webgpuPrograms()!;
  const [n, rows, columns] = x.shape;
  const count = Math.min(rows, columns);
  if (count > mostRows || Math.max(rows, columns) > mostLength) {
    throw new BackendError(
      `qr on webgpu takes matrices to ${mostRows} by ${mostLength}; got [${rows}, ${columns}]. Use 'wasm'.`,
    );
  }
  const uniforms = {rows, columns};
  const reflected = programs.make([n, columns + count, rows], 'float32');
  const run = {constants: {}, inputs: {x}, work: [n, 1, 1] as const};
  for (const part of programsOf(2 * count, 2 * columns * rows, count))
    programs.runInPlace(qrReflectShader, {...run, uniforms: {...uniforms, ...part}}, reflected);
  const size = n * count * (rows + columns);
  const packing = {constants: {}, inputs: {reflected}, uniforms, work: size};
  const factors = programs.run(qrPackShader, packing, [n, count, rows + columns]);
  programs.dispose(reflected);
  return factors;
}

/**
 * `[n, columns + count, rows]` of `[n, rows, columns]`, with count = min(rows, columns): the columns of R, as rows, and those of Q. An
 * invocation reflects a column.
 */
export const qrReflectShader: Shader<object, 'rows' | 'columns' | 'begin' | 'until'> = {
  name: 'QrReflect',
  uniforms: integers('rows', 'columns', 'begin', 'until'),
  threads,
  code: () => `
    var<workgroup> parts : array<f32, ${threads}>;
    ${jacobiText}

    // x -= 2 v (v . x)
    fn reflect(x : i32, v : i32, first : i32) {
      var sum = 0.0;
      for (var i = first; i < uniforms.rows; i++) { sum += result[x + i] * result[v + i]; }
      for (var i = first; i < uniforms.rows; i++) { result[x + i] -= 2.0 * sum * result[v + i]; }
    }

    fn main() {
      let local = i32(localIndex);
      let matrix = i32(workgroupId.x);
      let rows = uniforms.rows;
      let columns = uniforms.columns;
      let count = min(rows, columns);
      let source = matrix * rows * columns;
      let start = matrix * (columns + count) * rows;
      let q = start + columns * rows;

      // 1 where a number is not finite
      var largest = 0.0;
      for (var i = local; i < rows * columns; i += ${threads}) {
        largest = max(largest, select(1.0, 0.0, isFinite(f32(x[source + i]))));
      }
      parts[local] = largest;${largestOfParts}
      let isBad = parts[0] > 0.0;
      workgroupBarrier();
      for (var i = local; i < rows * columns && uniforms.begin == 0; i += ${threads}) {
        result[start + i] = select(f32(x[source + (i % rows) * columns + i / rows]), 0.0, isBad);
      }
      storageBarrier();
      workgroupBarrier();

      for (var k = uniforms.begin; k < min(uniforms.until, count); k++) {
        let column = start + k * rows;
        let v = q + k * rows;
        largest = 0.0;
        for (var i = k + local; i < rows; i += ${threads}) { largest = max(largest, abs(result[column + i])); }
        parts[local] = largest;${largestOfParts}
        let unit = powerBelow(parts[0]);
        workgroupBarrier();
        var sum = 0.0;
        for (var i = k + local; i < rows; i += ${threads}) {
          let number = result[column + i] * unit.y;
          sum += number * number;
        }
        parts[local] = sum;
        workgroupBarrier();
        for (var half = ${threads / 2}; half > 0; half /= 2) {
          if (local < half) { parts[local] += parts[local + half]; }
          workgroupBarrier();
        }
        let size = sqrt(parts[0]);
        let first = result[column + k] * unit.y;
        let image = select(size, -size, first > 0.0);
        // |v|^2 = 2 size (size + |first|); nothing to reflect if that is zero
        let square = 2.0 * size * (size + abs(first));
        let factor = select(0.0, 1.0 / sqrt(square), square > 0.0);
        storageBarrier();
        workgroupBarrier();
        for (var i = local; i < rows; i += ${threads}) {
          let number = result[column + i] * unit.y - select(0.0, image, i == k);
          result[v + i] = select(0.0, number * factor, i >= k);
          if (i >= k) { result[column + i] = select(0.0, image * unit.x, i == k); }
        }
        storageBarrier();
        workgroupBarrier();
        for (var j = k + 1 + local; j < columns; j += ${threads}) { reflect(start + j * rows, v, k); }
        storageBarrier();
        workgroupBarrier();
      }
      // column k of Q is what all reflections to the k-th make of an axis
      for (var step = max(uniforms.begin, count); step < uniforms.until; step++) {
        let k = 2 * count - 1 - step;
        let v = q + k * rows;
        for (var j = k + 1 + local; j < count; j += ${threads}) { reflect(q + j * rows, v, k); }
        storageBarrier();
        workgroupBarrier();
        let own = result[v + k];
        storageBarrier();
        workgroupBarrier();
        for (var i = k + local; i < rows; i += ${threads}) {
          result[v + i] = select(0.0, 1.0, i == k) - 2.0 * own * result[v + i];
        }
        storageBarrier();
        workgroupBarrier();
      }
      if (local == 0 && isBad && uniforms.until == 2 * count) { result[start] = notANumber(); }
    }`,
};

/** `[n, count, rows + columns]`, an invocation a number: rows (column of Q, row of R), R's diagonal not negative. */
export const qrPackShader: Shader<object, 'rows' | 'columns'> = {
  name: 'QrPack',
  uniforms: integers('rows', 'columns'),
  code: () => `
    ${jacobiText}

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let rows = uniforms.rows;
      let columns = uniforms.columns;
      let count = min(rows, columns);
      let width = rows + columns;
      let row = index / width % count;
      let column = index % width;
      let start = index / (width * count) * (columns + count) * rows;
      let sign = select(1.0, -1.0, f32(reflected[start + row * rows + row]) < 0.0);
      let j = column - rows;
      var number = 0.0;
      if (j < 0) { number = f32(reflected[start + (columns + row) * rows + column]); }
      if (j >= row) { number = f32(reflected[start + j * rows + row]); }
      result[index] = select(notANumber(), sign * number, isFinite(f32(reflected[start])));
    }`,
};
