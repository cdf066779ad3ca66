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

/** One workgroup for a matrix takes too long for larger ones. */
export const mostDim = 1024;

/** `eigh` by Jacobi's method, a workgroup a matrix. */
export function eighWebgpu({x}: KernelInputs<{x: tf.Tensor3D}>): tf.TensorInfo {
  const programs = webgpuPrograms()!;
  const [n, dim] = x.shape;
  if (dim > mostDim) {
    throw new BackendError(
      `eigh on webgpu takes matrices to ${mostDim} x ${mostDim}; got ${dim} x ${dim}. Await eighAsync, or use 'wasm'.`,
    );
  }
  const even = dim + (dim % 2);
  const turned = programs.make([n, 2 * even + 1, even], 'float32');
  const run = {constants: {}, work: [n, 1, 1] as const};
  const all = roundsOf(even);
  for (const part of programsOf(all, even * even, dim))
    programs.runInPlace(eighJacobiShader, {...run, inputs: {x}, uniforms: {n, dim, ...part, all}}, turned);
  const packed = programs.run(eighPackShader, {...run, inputs: {turned}, uniforms: {n, dim}}, [
    n,
    dim + 1,
    dim,
  ]);
  programs.dispose(turned);
  return packed;
}

/**
 * `[n, 2 even + 1, even]` of `[n, dim, dim]`, even the next even number: a diagonal matrix, below it the eigenvectors as rows, and how far it is. Rotations
 * turn all pairs of a round at once (Golub and Van Loan, Matrix Computations, 8.5): each invocation has 2 x 2 blocks of its own.
 */
export const eighJacobiShader: Shader<object, 'n' | 'dim' | 'begin' | 'until' | 'all'> = {
  name: 'EighJacobi',
  uniforms: integers('n', 'dim', 'begin', 'until', 'all'),
  threads: jacobiThreads,
  code: () => `
    var<workgroup> parts : array<f32, ${jacobiThreads}>;
    var<workgroup> rotations : array<vec2<f32>, ${mostDim / 2}>;
    var<workgroup> turns : atomic<u32>;
    var<workgroup> goesOn : u32;
    ${jacobiText}

    fn main() {
      let local = i32(localIndex);
      let matrix = i32(workgroupId.x);
      let dim = uniforms.dim;
      let even = dim + dim % 2;
      let pairs = even / 2;
      let rounds = even - 1;
      let source = matrix * dim * dim;
      let a = matrix * (2 * even + 1) * even;
      let v = a + even * even;
      let state = v + even * even;
${scaleOfMatrix('dim * dim')}

      for (var i = local; i < even * even && uniforms.begin == 0; i += ${jacobiThreads}) {
        let row = i / even;
        let column = i % even;
        var number = 0.0;
        if (max(row, column) < dim && !isBad) {
          number = 0.5 * (f32(x[source + row * dim + column]) * scale.y + f32(x[source + column * dim + row]) * scale.y);
        }
        result[a + i] = number;
        result[v + i] = select(0.0, 1.0, row == column);
      }
      storageBarrier();
      workgroupBarrier();
${sweepsText(`
        for (var k = local; k < pairs; k += ${jacobiThreads}) {
          let pair = pairOf(k, round, even);
          let product = result[a + pair.x * even + pair.y];
          var rotation = vec2(0.0, 0.0);
          if (abs(product) > 2e-8) {
            rotation = rotationFor(result[a + pair.x * (even + 1)], result[a + pair.y * (even + 1)], product);
            atomicStore(&turns, 1u);
          }
          rotations[k] = rotation;
        }
        workgroupBarrier();
        for (var i = local; i < pairs * pairs; i += ${jacobiThreads}) {
          let first = i / pairs;
          let second = i % pairs;
          let left = rotations[first];
          let right = rotations[second];
          if (first > second || (left.x == 0.0 && right.x == 0.0)) { continue; }
          let rows = pairOf(first, round, even);
          let columns = pairOf(second, round, even);
          let pp = result[a + rows.x * even + columns.x];
          let pq = result[a + rows.x * even + columns.y];
          let qp = result[a + rows.y * even + columns.x];
          let qq = result[a + rows.y * even + columns.y];
          let leftColumn = turn(vec2(pp, qp), left);
          let rightColumn = turn(vec2(pq, qq), left);
          let upper = turn(vec2(leftColumn.x, rightColumn.x), right);
          let lower = turn(vec2(leftColumn.y, rightColumn.y), right);
          let isOwn = first == second;
          result[a + rows.x * even + columns.x] = upper.x;
          result[a + rows.y * even + columns.y] = lower.y;
          result[a + rows.x * even + columns.y] = select(upper.y, 0.0, isOwn);
          result[a + rows.y * even + columns.x] = select(lower.x, 0.0, isOwn);
          if (!isOwn) {
            result[a + columns.x * even + rows.x] = upper.x;
            result[a + columns.y * even + rows.x] = upper.y;
            result[a + columns.x * even + rows.y] = lower.x;
            result[a + columns.y * even + rows.y] = lower.y;
          }
        }
        for (var i = local; i < pairs * even; i += ${jacobiThreads}) {
          let rotation = rotations[i / even];
          if (rotation.x == 0.0) { continue; }
          let pair = pairOf(i / even, round, even);
          let column = i % even;
          let at = v + column;
          let turned = turn(vec2(result[at + pair.x * even], result[at + pair.y * even]), rotation);
          result[at + pair.x * even] = turned.x;
          result[at + pair.y * even] = turned.y;
        }`)}
      if (uniforms.until < uniforms.all) { return; }
      for (var i = local; i < even; i += ${jacobiThreads}) {
        result[a + i * (even + 1)] = select(result[a + i * (even + 1)] * scale.x, notANumber(), isBad);
      }
    }`,
};

/** Values, descending, then vectors with positive leading components: `[n, dim + 1, dim]`. A row has an invocation. */
export const eighPackShader: Shader<object, 'n' | 'dim'> = {
  name: 'EighPack',
  uniforms: integers('n', 'dim'),
  threads: jacobiThreads,
  code: () => `
    ${jacobiText}

    fn main() {
      let matrix = i32(workgroupId.x);
      let dim = uniforms.dim;
      let even = dim + dim % 2;
      let a = matrix * (2 * even + 1) * even;
      let out = matrix * (dim + 1) * dim;
      for (var i = i32(localIndex); i < dim; i += ${jacobiThreads}) {
        let value = f32(turned[a + i * (even + 1)]);
        let isBad = !isFinite(f32(turned[a])) && !isFinite(f32(turned[a + (dim - 1) * (even + 1)]));
        var place = select(0, i, isBad);
        for (var j = 0; j < dim && !isBad; j++) {
          let other = f32(turned[a + j * (even + 1)]);
          if (other > value || (other == value && j < i)) { place++; }
        }
        result[out + place] = value;
        let row = a + (even + i) * even;
        var largest = 0.0;
        for (var j = 0; j < dim; j++) { largest = max(largest, abs(f32(turned[row + j]))); }
        var leading = 0;
        while (abs(f32(turned[row + leading])) < largest * 0.99999) { leading++; }
        let sign = select(1.0, -1.0, f32(turned[row + leading]) < 0.0);
        for (var j = 0; j < dim; j++) {
          result[out + (place + 1) * dim + j] = select(sign * f32(turned[row + j]), notANumber(), isBad);
        }
      }
    }`,
};
