import type * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../base/errors.js';
import {copyNumbers} from '../backends/webgpu_heads.js';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import type {KernelInputs} from '../run_op.js';

/** A workgroup would keep larger ones too long: drivers end programs that run for seconds. */
const mostDim = 256;
const threads = 256;

/** `coefficients` by elimination with partial pivoting, a workgroup a head. */
export function coefficientsWebgpu(
  inputs: KernelInputs<{x: tf.Tensor4D; basis: tf.Tensor4D}>,
): tf.TensorInfo {
  const programs = webgpuPrograms()!;
  const [batch, kvHeads, tokens, dim] = inputs.x.shape;
  if (dim > mostDim) {
    throw new BackendError(`coefficients on webgpu takes a dim to ${mostDim}; got ${dim}. Use 'wasm'.`);
  }
  const heads = batch * kvHeads;
  const solved = programs.run(
    solveRowsShader,
    {constants: {}, inputs, uniforms: {heads, tokens, dim}, work: [heads, 1, 1]},
    [heads * (tokens + dim), dim],
  );
  const out = programs.make([batch, kvHeads, tokens, dim], 'float32');
  copyNumbers(solved, 0, out, 0, heads * tokens * dim);
  programs.dispose(solved);
  return out;
}

/**
 * `[heads, tokens, dim]`, the z of `z basis = x`, and behind them `[heads, dim, dim]`, what is left of the bases. Multiples of columns are
 * taken from later columns until the basis is lower triangular, and its last column gives the last coefficient. An invocation has whole
 * rows of basis and x.
 */
export const solveRowsShader: Shader<object, 'heads' | 'tokens' | 'dim'> = {
  name: 'SolveRows',
  uniforms: integers('heads', 'tokens', 'dim'),
  threads,
  code: () => `
    var<workgroup> largest : array<f32, ${threads}>;
    var<workgroup> places : array<i32, ${threads}>;
    var<workgroup> factors : array<f32, ${mostDim}>;

    fn main() {
      let local = i32(localIndex);
      let head = i32(workgroupId.x);
      let tokens = uniforms.tokens;
      let dim = uniforms.dim;
      let z = head * tokens * dim;
      let a = (uniforms.heads * tokens + head * dim) * dim;
      for (var i = local; i < tokens * dim; i += ${threads}) { result[z + i] = f32(x[z + i]); }
      for (var i = local; i < dim * dim; i += ${threads}) { result[a + i] = f32(basis[head * dim * dim + i]); }
      storageBarrier();
      workgroupBarrier();

      for (var k = 0; k < dim; k++) {
        // the column from k on with the largest number in row k
        let own = k + local;
        largest[local] = select(-1.0, abs(result[a + k * dim + min(own, dim - 1)]), own < dim);
        places[local] = own;
        workgroupBarrier();
        for (var half = ${threads / 2}; half > 0; half /= 2) {
          if (local < half && largest[local + half] > largest[local]) {
            largest[local] = largest[local + half];
            places[local] = places[local + half];
          }
          workgroupBarrier();
        }
        let pivot = places[0];
        if (local < dim) {
          // of column k the numbers that are at the pivot, and the other way round
          let at = select(local, k, local == pivot);
          factors[local] = select(0.0, result[a + k * dim + at] / result[a + k * dim + pivot], local > k);
        }
        storageBarrier();
        workgroupBarrier();
        for (var i = local; i < dim - k + tokens; i += ${threads}) {
          let row = select(z + (i - dim + k) * dim, a + (k + i) * dim, i < dim - k);
          let number = result[row + pivot];
          result[row + pivot] = result[row + k];
          result[row + k] = number;
          for (var j = k + 1; j < dim; j++) { result[row + j] -= factors[j] * number; }
        }
        storageBarrier();
        workgroupBarrier();
      }
      for (var token = local; token < tokens; token += ${threads}) {
        let row = z + token * dim;
        for (var k = dim - 1; k >= 0; k--) {
          var sum = result[row + k];
          for (var i = k + 1; i < dim; i++) { sum -= result[row + i] * result[a + i * dim + k]; }
          result[row + k] = sum / result[a + k * dim + k];
        }
      }
    }`,
};
