import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError} from '../../base/errors.js';
import {wasmHeap} from '../backends/wasm_heap.js';
import {expectRank4} from '../encodings/encoding.js';
import {hostNumbers} from '../host_numbers.js';
import {transpose64} from '../linalg/matrix64.js';
import {solve64} from '../linalg/solve64.js';
import {defineOp, runOp, type KernelInputs} from '../run_op.js';
import {coefficientsWebgpu} from './webgpu_coefficients.js';

type CoefficientInputs = {x: tf.Tensor4D; basis: tf.Tensor4D};

/**
 * The coefficients of vectors in a basis whose vectors need not be orthogonal: z of `z basis = x`, by Gaussian elimination. In an orthonormal
 * basis they are `project(x, basis)`. The error of float32 is that of elimination with partial pivoting: it grows with the condition of the
 * basis, and z of a singular one is not finite.
 *
 * @param x float32 `[batch, kvHeads, tokens, dim]`.
 * @param basis float32 `[batch, kvHeads, dim, dim]`, dim a multiple of 4.
 * @returns float32 `[batch, kvHeads, tokens, dim]`.
 * @throws InvalidArgumentError if the shapes do not fit.
 * @throws BackendError on webgpu if dim is more than 256.
 */
export function coefficients(x: tf.Tensor4D, basis: tf.Tensor4D): tf.Tensor4D {
  expectRank4(x, 'x');
  expectRank4(basis, 'basis');
  const [batch, kvHeads, , dim] = x.shape;
  if (basis.shape.join() !== [batch, kvHeads, dim, dim].join() || dim % 4 !== 0) {
    throw new InvalidArgumentError(
      `x [${x.shape.join(', ')}] and basis [${basis.shape.join(', ')}] do not fit: expected a basis ` +
        `[${batch}, ${kvHeads}, ${dim}, ${dim}] with a multiple of 4 numbers.`,
    );
  }
  return runOp(coefficientsOp, {x, basis}, {});
}

const coefficientsOp = defineOp({
  name: 'Coefficients',
  reference: coefficientsReference,
  kernels: {wasm: coefficientsWasm, webgpu: coefficientsWebgpu},
});

/** In float64 on the host. */
function coefficientsReference({x, basis}: CoefficientInputs): tf.Tensor4D {
  const [batch, kvHeads, tokens, dim] = x.shape;
  const [vectors, bases] = [hostNumbers(x), hostNumbers(basis)];
  const solved = new Float32Array(x.size);
  for (let head = 0; head < batch * kvHeads; head++) {
    const [from, to] = [head * tokens * dim, (head + 1) * tokens * dim];
    const a = transpose64(bases.slice(head * dim * dim, (head + 1) * dim * dim), dim, dim);
    const b = transpose64(vectors.slice(from, to), tokens, dim);
    solved.set(transpose64(solve64(a, b, dim, tokens), dim, tokens), from);
  }
  return tf.tensor4d(solved, x.shape);
}

function coefficientsWasm({x, basis}: KernelInputs<CoefficientInputs>): tf.TensorInfo {
  const heap = wasmHeap()!;
  const [batch, kvHeads, tokens, dim] = x.shape;
  const out = heap.output([batch, kvHeads, tokens, dim], 'float32');
  const scratch = heap.scratch(heap.kernels.solveRowsScratch(dim));
  heap.kernels.solveRows(
    ...([heap.address(x), heap.address(basis), heap.address(out)] as const),
    ...([batch * kvHeads, tokens, dim, scratch] as const),
  );
  return out;
}
