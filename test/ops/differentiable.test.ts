import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {batchedMatMul} from '../../ops/batched_matmul/index.js';
import {differentiable} from '../../ops/differentiable.js';
import {linear} from '../../ops/linear/index.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

/** a b, which tells which of its gradients are computed. */
function product(a: tf.Tensor, b: tf.Tensor, computed: string[] = []): tf.Tensor {
  return differentiable([a, b], [a, b], () => tf.mul(a, b), [
    (dy, [, other]) => {
      computed.push('da');
      return tf.mul(dy, other);
    },
    (dy, [other]) => {
      computed.push('db');
      return tf.mul(dy, other);
    },
  ]);
}

describeOnBackends('differentiable, with a function for each gradient', () => {
  const [a, b] = [
    [2, 3],
    [5, 7],
  ] as const;

  it('computes those that are asked for', async () => {
    const [x, y] = [tf.tensor1d([...a]), tf.tensor1d([...b])];
    const computed: string[] = [];
    const dx = tf.grad(input => product(input, y, computed))(x);
    expect(computed).to.deep.equal(['da']);
    await expectClose(dx, b, 0);
    const both = tf.grads((p, q) => product(p, q, computed))([x, y]);
    expect(computed.slice(1).sort()).to.deep.equal(['da', 'db']);
    for (const [i, gradient] of both.entries()) await expectClose(gradient, [b, a][i]!, 0);
    tf.dispose([x, y, dx, both]);
  });

  it('adds them up for a tensor that is two of the inputs, or that leads on elsewhere', async () => {
    const x = tf.tensor1d([...a]);
    const run = (input: tf.Tensor) => tf.add(product(product(input, input), input), input); // x^3 + x
    const [value, dx] = [run(x), tf.grad(run)(x)];
    await expectClose(value, [10, 30], 0);
    await expectClose(dx, [13, 28], 0);
    tf.dispose([x, value, dx]);
  });

  it('runs the op once', () => {
    let runs = 0;
    const x = tf.ones([2]);
    const gradients = tf.grads((p, q) =>
      differentiable(
        [p, q],
        [],
        () => {
          runs++;
          return tf.add(p, q);
        },
        [dy => tf.mul(dy, 1), dy => tf.mul(dy, 1)],
      ),
    )([x, x]);
    expect(runs).to.equal(1);
    tf.dispose([x, gradients]);
  });

  it('leaks nothing', async () => {
    const [x, y] = [tf.tensor1d([...a]), tf.tensor1d([...b])];
    await expectNoLeak(() => tf.grad(input => product(input, y))(x));
    await expectNoLeak(() => tf.grads((p, q) => product(p, q))([x, y]));
  });
});

describeOnBackends('gradients of products', () => {
  it('of frozen weights are not computed', async () => {
    const [x, kernel] = [tf.ones([2, 3]), tf.ones<tf.Rank.R2>([3, 4])];
    const products = async (run: () => tf.Tensor | tf.Tensor[]) => {
      const {kernels, result} = await tf.profile(() => run());
      tf.dispose(result);
      return kernels.filter(({name}) => name.endsWith('MatMul') || name.endsWith('Linear')).length;
    };
    expect(await products(() => tf.grads((input, w) => linear(input, w))([x, kernel]))).to.equal(3);
    expect(await products(() => tf.grad(input => linear(input, kernel))(x))).to.equal(2);
    tf.dispose([x, kernel]);
  });

  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      it(`batchedMatMul has those of tf.matMul, transposeA ${transposeA}, transposeB ${transposeB}`, async () => {
        const a = tf.randomNormal<tf.Rank.R3>(transposeA ? [2, 4, 3] : [2, 3, 4]);
        const b = tf.randomNormal<tf.Rank.R3>(transposeB ? [2, 5, 4] : [2, 4, 5]);
        const dy = tf.randomNormal([2, 3, 5]);
        const own = tf.grads((p, q) =>
          batchedMatMul(p as tf.Tensor3D, q as tf.Tensor3D, {transposeA, transposeB}),
        )([a, b], dy);
        const plain = tf.grads((p, q) => tf.matMul(p, q, transposeA, transposeB))([a, b], dy);
        for (const [i, gradient] of own.entries()) await expectClose(gradient, plain[i]!, 1e-5);
        tf.dispose([a, b, dy, own, plain]);
      });
    }
  }

  it('are differentiable', async () => {
    const [x, kernel] = [tf.randomNormal<tf.Rank.R2>([3, 4]), tf.randomNormal<tf.Rank.R2>([4, 5])];
    const second = (multiply: (a: tf.Tensor2D, w: tf.Tensor2D) => tf.Tensor) =>
      tf.grad(w =>
        tf.sum(tf.square(tf.grad(a => tf.square(multiply(a as tf.Tensor2D, w as tf.Tensor2D)))(x))),
      )(kernel);
    const [own, plain] = [second(linear), second(tf.matMul)];
    await expectClose(own, plain, 1e-3);
    tf.dispose([x, kernel, own, plain]);
  });
});
