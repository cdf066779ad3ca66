import type * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../../base/errors.js';
import {integers, webgpuPrograms, type Shader} from '../../backends/webgpu_programs.js';
import type {KernelInputs} from '../../run_op.js';
import {
  jacobiText,
  jacobiThreads,
  programsOf,
  roundsOf,
  scaleOfMatrix,
  sweepsText,
} from '../webgpu_jacobi.js';

/** Each pair of rows has an invocation at least. */
const mostRows = 2 * jacobiThreads;
/** One workgroup for a matrix takes too long for longer vectors. */
const mostLength = 8192;

/** `svd` by one-sided Jacobi, a workgroup a matrix. */
export function svdWebgpu({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const programs = webgpuPrograms()!;
  const [n, rows, columns] = x.shape;
  const [count, length] = [Math.min(rows, columns), Math.max(rows, columns)];
  if (count > mostRows || length > mostLength) {
    throw new BackendError(
      `svd on webgpu takes matrices to ${mostRows} by ${mostLength}; got [${rows}, ${columns}]. Use 'wasm', or randomizedSvd for a few triplets.`,
    );
  }
  const even = count + (count % 2);
  const [width, uniforms] = [length + count + 2, {rows, columns}];
  const turned = programs.make([n, even + 1, width], 'float32');
  const run = {constants: {}, work: [n, 1, 1] as const};
  const all = roundsOf(even);
  for (const part of programsOf(all, even * width, count))
    programs.runInPlace(
      svdJacobiShader,
      {...run, inputs: {x}, uniforms: {...uniforms, ...part, all}},
      turned,
    );
  const triplets = programs.run(svdPackShader, {...run, inputs: {turned}, uniforms}, [
    n,
    count,
    rows + 1 + columns,
  ]);
  programs.dispose(turned);
  return triplets;
}

/**
 * `[n, even + 1, length + count + 2]` of `[n, rows, columns]`, with count = min(rows, columns), even the next even number and length = max(rows,
 * columns): rows with an orthogonal vector, the unit vector that it is the image of, its size as
 * far as it is scaled, and the size itself. The columns of a tall matrix, or the rows of
 * a wide one, are turned in pairs until all are orthogonal (Hestenes, 1958). Some invocations share each pair of a round.
 */
export const svdJacobiShader: Shader<object, 'rows' | 'columns' | 'begin' | 'until' | 'all'> = {
  name: 'SvdJacobi',
  uniforms: integers('rows', 'columns', 'begin', 'until', 'all'),
  threads: jacobiThreads,
  code: () => `
    var<workgroup> parts : array<f32, ${jacobiThreads}>;
    var<workgroup> products : array<vec4<f32>, ${jacobiThreads}>;
    var<workgroup> turns : atomic<u32>;
    var<workgroup> goesOn : u32;
    ${jacobiText}

    fn main() {
      let local = i32(localIndex);
      let matrix = i32(workgroupId.x);
      let isTall = uniforms.rows >= uniforms.columns;
      let count = min(uniforms.rows, uniforms.columns);
      let length = max(uniforms.rows, uniforms.columns);
      let even = count + count % 2;
      let width = length + count + 2;
      let source = matrix * count * length;
      let start = matrix * (even + 1) * width;
      let state = start + even * width;
      let rounds = even - 1;
${scaleOfMatrix('count * length')}

      for (var i = local; i < even * width && uniforms.begin == 0; i += ${jacobiThreads}) {
        let row = i / width;
        let column = i % width;
        var number = 0.0;
        if (row < count && column < length && !isBad) {
          number = f32(x[source + select(row * length + column, column * count + row, isTall)]) * scale.y;
        }
        result[start + i] = select(number, 1.0, column == length + row && row < count);
      }
      storageBarrier();
      workgroupBarrier();

      let pairs = even / 2;
      var lanes = 1;
      while (lanes * 2 * pairs <= ${jacobiThreads}) { lanes *= 2; }
      let own = local / lanes;
      let lane = local % lanes;
${sweepsText(`
        var pair = vec2(0, 0);
        var sums = vec4(0.0);
        if (own < pairs) {
          pair = start + pairOf(own, round, even) * width;
          for (var i = lane; i < length; i += lanes) {
            let p = result[pair.x + i];
            let q = result[pair.y + i];
            sums += vec4(p * p, q * q, p * q, 0.0);
          }
        }
        products[local] = sums;
        workgroupBarrier();
        if (own < pairs) {
          sums = vec4(0.0);
          for (var i = own * lanes; i < (own + 1) * lanes; i++) { sums += products[i]; }
          // the product of rows of rounding errors is one as well
          if (abs(sums.z) > 2e-7 * sqrt(sums.x) * sqrt(sums.y) && min(sums.x, sums.y) > 1e-30) {
            let rotation = rotationFor(sums.x, sums.y, sums.z);
            for (var i = lane; i < length + count; i += lanes) {
              let turned = turn(vec2(result[pair.x + i], result[pair.y + i]), rotation);
              result[pair.x + i] = turned.x;
              result[pair.y + i] = turned.y;
            }
            atomicStore(&turns, 1u);
          }
        }`)}
      if (uniforms.until < uniforms.all) { return; }
      for (var row = local; row < count; row += ${jacobiThreads}) {
        let at = start + row * width;
        var most = 0.0;
        for (var i = 0; i < length; i++) { most = max(most, abs(result[at + i])); }
        let unit = powerBelow(most);
        var sum = 0.0;
        for (var i = 0; i < length; i++) { sum += (result[at + i] * unit.y) * (result[at + i] * unit.y); }
        let size = sqrt(sum) * unit.x;
        result[at + width - 2] = select(size, notANumber(), isBad);
        result[at + width - 1] = select(size * scale.x, notANumber(), isBad);
      }
    }`,
};

/**
 * Triplets in the order of their sizes, with positive leading components of v: `[n, count, rows + 1 + columns]`. Where the size is zero the long
 * vector is what the others leave of an axis, by Gram and Schmidt.
 */
export const svdPackShader: Shader<object, 'rows' | 'columns'> = {
  name: 'SvdPack',
  uniforms: integers('rows', 'columns'),
  threads: jacobiThreads,
  code: () => `
    var<workgroup> order : array<i32, ${mostRows}>;
    var<workgroup> signs : array<f32, ${mostRows}>;
    var<workgroup> along : array<f32, ${mostRows}>;
    var<workgroup> parts : array<f32, ${jacobiThreads}>;
    var<workgroup> axes : array<i32, ${jacobiThreads}>;
    var<workgroup> zeros : atomic<u32>;
    var<workgroup> zerosOfAll : u32;
    ${jacobiText}

    fn leadingSign(first : i32, size : i32) -> f32 {
      var largest = 0.0;
      for (var i = 0; i < size; i++) { largest = max(largest, abs(f32(turned[first + i]))); }
      var leading = 0;
      while (leading < size - 1 && abs(f32(turned[first + leading])) < largest * 0.99999) { leading++; }
      return select(1.0, -1.0, f32(turned[first + leading]) < 0.0);
    }

    fn main() {
      let local = i32(localIndex);
      let matrix = i32(workgroupId.x);
      let isTall = uniforms.rows >= uniforms.columns;
      let count = min(uniforms.rows, uniforms.columns);
      let length = max(uniforms.rows, uniforms.columns);
      let width = length + count + 2;
      let start = matrix * (count + count % 2 + 1) * width;
      let outWidth = uniforms.rows + 1 + uniforms.columns;
      let out = matrix * count * outWidth;
      let isBad = !isFinite(f32(turned[start + width - 2]));

      for (var i = local; i < count; i += ${jacobiThreads}) {
        let size = f32(turned[start + i * width + width - 2]);
        var place = select(0, i, isBad);
        for (var j = 0; j < count && !isBad; j++) {
          let other = f32(turned[start + j * width + width - 2]);
          if (other > size || (other == size && j < i)) { place++; }
        }
        order[place] = i;
        signs[place] = leadingSign(start + i * width + select(0, length, isTall), uniforms.columns);
        if (size <= 1e-15) { atomicAdd(&zeros, 1u); }
      }
      workgroupBarrier();
      if (local == 0) { zerosOfAll = atomicLoad(&zeros); }
      let first = count - i32(workgroupUniformLoad(&zerosOfAll));

      for (var at = local; at < count * outWidth; at += ${jacobiThreads}) {
        let place = at / outWidth;
        let column = at % outWidth;
        let row = start + order[place] * width;
        let size = f32(turned[row + width - 2]);
        var number = f32(turned[row + width - 1]);
        if (column != uniforms.rows) {
          let isU = column < uniforms.rows;
          let component = select(column - uniforms.rows - 1, column, isU);
          let isLong = isU == isTall;
          number = signs[place] * f32(turned[row + select(length, 0, isLong) + component]);
          if (isLong) { number = select(number / size, 0.0, place >= first); }
        }
        result[out + at] = select(number, notANumber(), isBad);
      }
      storageBarrier();
      workgroupBarrier();

      let long = out + select(uniforms.rows + 1, 0, isTall);
      for (var place = first; place < count; place++) {
        // the axis of which the least lies along the vectors before
        var least = 2.0;
        var axis = 0;
        for (var i = local; i < length; i += ${jacobiThreads}) {
          var within = 0.0;
          for (var j = 0; j < place; j++) {
            let component = result[long + j * outWidth + i];
            within += component * component;
          }
          if (within < least) { least = within; axis = i; }
        }
        parts[local] = least;
        axes[local] = axis;
        workgroupBarrier();
        for (var half = ${jacobiThreads / 2}; half > 0; half /= 2) {
          if (local < half && parts[local + half] < parts[local]) {
            parts[local] = parts[local + half];
            axes[local] = axes[local + half];
          }
          workgroupBarrier();
        }
        axis = axes[0];
        let own = long + place * outWidth;
        for (var i = local; i < length; i += ${jacobiThreads}) { result[own + i] = select(0.0, 1.0, i == axis); }
        storageBarrier();
        workgroupBarrier();
        for (var time = 0; time < 3; time++) {
          for (var j = local; j < place; j += ${jacobiThreads}) {
            var sum = 0.0;
            for (var i = 0; i < length; i++) { sum += result[own + i] * result[long + j * outWidth + i]; }
            along[j] = sum;
          }
          workgroupBarrier();
          var sum = 0.0;
          for (var i = local; i < length; i += ${jacobiThreads}) {
            var number = result[own + i];
            for (var j = 0; j < place; j++) { number -= along[j] * result[long + j * outWidth + i]; }
            result[own + i] = number;
            sum += number * number;
          }
          parts[local] = sum;
          workgroupBarrier();
          for (var half = ${jacobiThreads / 2}; half > 0; half /= 2) {
            if (local < half) { parts[local] += parts[local + half]; }
            workgroupBarrier();
          }
          let size = sqrt(parts[0]);
          for (var i = local; i < length; i += ${jacobiThreads}) { result[own + i] /= size; }
          storageBarrier();
          workgroupBarrier();
        }
        if (!isTall) {
          if (local == 0) {
            var largest = 0.0;
            for (var i = 0; i < length; i++) { largest = max(largest, abs(result[own + i])); }
            var leading = 0;
            while (abs(result[own + leading]) < largest * 0.99999) { leading++; }
            signs[place] = select(1.0, -1.0, result[own + leading] < 0.0);
          }
          workgroupBarrier();
          for (var i = local; i < length; i += ${jacobiThreads}) { result[own + i] *= signs[place]; }
          storageBarrier();
          workgroupBarrier();
        }
      }
    }`,
};
