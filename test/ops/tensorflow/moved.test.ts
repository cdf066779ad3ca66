import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {testBackends} from '../../support/backends.js';

(testBackends.includes('tensorflow') ? describe : describe.skip)(
  'Tensors of another backend on tensorflow',
  () => {
    let former: string | undefined;
    before(() => void (former = tf.getBackend()));
    after(() => tf.setBackend(former ?? 'cpu'));

    for (const home of testBackends.filter(backend => backend !== 'tensorflow')) {
      it(`from ${home} have their own shapes in tfjs' ops, though they share numbers`, async () => {
        await useBackend(home);
        const made = tf.tensor2d([1, 2, 3, 4], [2, 2]);
        const row = made.reshape([4]);
        const column = made.reshape([4, 1]);
        await useBackend('tensorflow');
        const {numTensors} = tf.memory();
        for (let i = 0; i < 2; i++) {
          const products = tf.tidy(() => tf.mul(row, column).arraySync());
          expect(products).to.deep.equal([1, 2, 3, 4].map(x => [x, 2 * x, 3 * x, 4 * x]));
        }
        expect(tf.tidy(() => tf.add(made, made).arraySync())).to.deep.equal([
          [2, 4],
          [6, 8],
        ]);
        expect(tf.memory().numTensors).to.equal(numTensors);
        made.dispose();
        row.dispose();
        expect(tf.tidy(() => tf.add(column, 1).arraySync())).to.deep.equal([[2], [3], [4], [5]]);
        await useBackend(home);
        expect(tf.tidy(() => tf.add(column, 1).arraySync())).to.deep.equal([[2], [3], [4], [5]]);
        column.dispose();
      });
    }

    it('from cpu have their own dtypes, though casts share numbers', async () => {
      await useBackend('cpu');
      const integers = tf.tensor1d([1, 2], 'int32');
      const truths = tf.tensor1d([1, 0], 'bool');
      const [floats, counts] = [integers.toFloat().reshape([2, 1]), truths.toInt()];
      await useBackend('tensorflow');
      expect(tf.tidy(() => tf.add(floats, 0.5).arraySync())).to.deep.equal([[1.5], [2.5]]);
      expect(tf.tidy(() => tf.add(counts, tf.scalar(1, 'int32')).arraySync())).to.deep.equal([2, 1]);
      expect(tf.tidy(() => tf.add(integers, integers).arraySync())).to.deep.equal([2, 4]);
      tf.dispose([integers, truths, floats, counts]);
    });
  },
);
