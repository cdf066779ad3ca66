import * as tf from '@tensorflow/tfjs';
import {batchedMatMul} from '../batched_matmul/index.js';
import {differentiable} from '../differentiable.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {type LinearOptions, linear} from '../linear/index.js';
import {rowsOf} from '../linear/products.js';
import {defineOp, runOp} from '../run_op.js';
import {type PackedMatrix, isPacked} from '../weights/matrix.js';
import {lmHeadReference} from './reference.js';
import {lmHeadWasm} from './wasm.js';
import {lmHeadWebgpu} from './webgpu.js';

/**
 * The language-model head that shares its matrix with the embedding (Press and Wolf, 2016, arXiv 1608.05859): one logit for each
 * token of the vocabulary, `logits = x embedding^T`. Differentiable in both. Absolute error <= (dim + 2) 2^-24 times the
 * sum |x_i e_i|, if that fits float32.
 *
 * @param x float32 `[..., dim]`.
 * @param embedding float32 `[vocab, dim]`, or packed, with `dim` inputs and `vocab` outputs: see `linear`.
 * @returns float32 `[..., vocab]`.
 * @throws InvalidArgumentError if the shapes do not fit.
 */
export function lmHead(
  x: tf.Tensor,
  embedding: tf.Tensor2D | PackedMatrix,
  options: Pick<LinearOptions, 'activations'> = {},
): tf.Tensor {
  if (isPacked(embedding)) return linear(x, embedding, options);
  const [vocab, dim] = embedding.shape;
  if (embedding.rank !== 2 || x.shape.at(-1) !== dim) {
    throw new InvalidArgumentError(
      `x [${x.shape.join(', ')}] and embedding [${embedding.shape.join(', ')}] do not fit: expected [..., dim] and ` +
        '[vocab, dim] of the same dim.',
    );
  }
  return differentiable([x, embedding], [x, embedding], () => runOp(lmHeadOp, {x, embedding}, {}), [
    (dy, [input, table]) => tf.reshape(batchedMatMul(rowsOf(dy, vocab), table), input.shape),
    (dy, [input]) => batchedMatMul(rowsOf(dy, vocab), rowsOf(input, dim), {transposeA: true}),
  ]);
}

const lmHeadOp = defineOp({
  name: 'LmHead',
  reference: lmHeadReference,
  kernels: {wasm: lmHeadWasm, webgpu: lmHeadWebgpu},
});
