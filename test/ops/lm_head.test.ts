import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../base/errors.js';
import {lmHead} from '../../ops/lm_head/index.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

describeOnBackends('lmHead', () => {
  it('is x embedding^T, for any number of rows, words and channels', async () => {
    // rows around the kernel's pass of 64; words and channels around its blocks of four and sixteen
    const shapes = fc.record({
      rows: fc.constantFrom(1, 2, 3, 5, 8, 63, 64, 65, 66, 129),
      vocab: fc.integer({min: 1, max: 13}),
      dim: fc.integer({min: 1, max: 70}),
    });
    await fc.assert(
      fc.asyncProperty(shapes, async ({rows, vocab, dim}) => {
        const [x, embedding] = [tf.randomUniform([rows, dim], -1, 1), tf.randomUniform([vocab, dim], -1, 1)];
        const logits = lmHead(x, embedding as tf.Tensor2D);
        expect(logits.shape).to.deep.equal([rows, vocab]);
        await expectClose(logits, products(await x.data(), await embedding.data(), dim), 1e-5);
        tf.dispose([x, embedding, logits]);
      }),
      {numRuns: 60},
    );
  });

  it('takes rows of any leading axes, and gives their gradients in that shape', async () => {
    const rows = tf.randomUniform<tf.Rank.R2>([6, 5], -1, 1);
    const embedding = tf.randomUniform<tf.Rank.R2>([7, 5], -1, 1);
    const x = tf.reshape(rows, [2, 3, 5]);
    const [logits, expected] = [lmHead(x, embedding), lmHead(rows, embedding)];
    expect(logits.shape).to.deep.equal([2, 3, 7]);
    await expectClose(tf.reshape(logits, [6, 7]), expected, 1e-6);
    const gradients = (of: tf.Tensor) =>
      tf.grads((a, b) => tf.sum(tf.sin(lmHead(a, b as tf.Tensor2D))))([of, embedding]);
    const [[dx, dTable], [dRows, sameTable]] = [gradients(x), gradients(rows)] as [tf.Tensor[], tf.Tensor[]];
    expect(dx!.shape).to.deep.equal([2, 3, 5]);
    await expectClose(tf.reshape(dx!, [6, 5]), dRows!, 1e-6);
    await expectClose(dTable!, sameTable!, 1e-6);
  });

  it('gives no numbers for no rows', () => {
    expect(lmHead(tf.zeros([0, 8]), tf.ones([5, 8])).shape).to.deep.equal([0, 5]);
  });

  it('has the gradients dy embedding and dy^T x', async () => {
    const x = tf.randomNormal<tf.Rank.R2>([3, 5]);
    const embedding = tf.randomNormal<tf.Rank.R2>([7, 5]);
    const dy = tf.randomNormal([3, 7]);
    const weighted = (...[a, b]: tf.Tensor[]) => tf.sum(tf.mul(lmHead(a!, b as tf.Tensor2D), dy));
    const plain = (...[a, b]: tf.Tensor[]) => tf.sum(tf.mul(tf.matMul(a!, b!, false, true), dy));
    const gradients = tf.grads(weighted)([x, embedding]);
    const expected = tf.grads(plain)([x, embedding]);
    await expectClose(gradients[0]!, expected[0]!, 1e-5);
    await expectClose(gradients[1]!, expected[1]!, 1e-5);
  });

  it('leaks nothing', async () => {
    const [x, embedding] = [tf.ones([3, 8]), tf.ones([5, 8])] as [tf.Tensor2D, tf.Tensor2D];
    await expectNoLeak(() => lmHead(x, embedding));
    await expectNoLeak(() => tf.grads((a, b) => lmHead(a, b as tf.Tensor2D))([x, embedding]));
  });

  it('says what does not fit', () => {
    expect(() => lmHead(tf.ones([2, 4]), tf.ones([7, 5]))).to.throw(InvalidArgumentError, '[2, 4]');
  });
});

/** x w^T in double precision. */
function products(x: ArrayLike<number>, w: ArrayLike<number>, dim: number): Float64Array {
  const [rows, columns] = [x.length / dim, w.length / dim];
  return Float64Array.from({length: rows * columns}, (_, at) => {
    let sum = 0;
    for (let i = 0; i < dim; i++)
      sum += x[Math.floor(at / columns) * dim + i]! * w[(at % columns) * dim + i]!;
    return sum;
  });
}
