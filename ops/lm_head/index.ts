import * as tf from '@tensorflow/tfjs';
import {differentiable} from '../differentiable.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {type LinearOptions, linear} from '../linear/index.js';
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
 * @param x float32 `[rows, dim]`.
 * @param embedding float32 `[vocab, dim]`, or packed, with `dim` inputs and `vocab` outputs: see `linear`.
 * @returns float32 `[rows, vocab]`.
 * @throws InvalidArgumentError if the shapes do not fit.
 */
export function lmHead(
  x: tf.Tensor2D,
  embedding: tf.Tensor2D | PackedMatrix,
  options: Pick<LinearOptions, 'activations'> = {},
): tf.Tensor2D {
  if (isPacked(embedding)) return linear(x, embedding, options) as tf.Tensor2D;
  if (x.rank !== 2 || embedding.rank !== 2 || x.shape[1] !== embedding.shape[1]) {
    throw new InvalidArgumentError(
      `x [${x.shape.join(', ')}] and embedding [${embedding.shape.join(', ')}] do not fit: expected [rows, dim] and ` +
        '[vocab, dim] of the same dim.',
    );
  }
  return differentiable(
    [x, embedding],
    [x, embedding],
    () => runOp(lmHeadOp, {x, embedding}, {}),
    // transposed first: matMul's own transposition is ten times slower on wasm
    (dy, saved) => [tf.matMul(dy, saved[1]), tf.matMul(tf.transpose(dy), saved[0])],
  );
}

const lmHeadOp = defineOp({
  name: 'LmHead',
  reference: lmHeadReference,
  kernels: {wasm: lmHeadWasm, webgpu: lmHeadWebgpu},
});
