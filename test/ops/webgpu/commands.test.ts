import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {countCommands} from '../../../bench/support/gpu_commands.js';
import {attendReference} from '../../../ops/attention/attend/reference.js';
import {rmsNorm} from '../../../ops/rms_norm/index.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {expectClose} from '../../support/tensors.js';

describeOnBackends(
  'commands',
  () => {
    const normed = (times: number): tf.Tensor =>
      tf.tidy(() => {
        let x: tf.Tensor = tf.tensor2d([[3, 4]]);
        for (let i = 0; i < times; i++) x = rmsNorm(x, tf.tensor1d([1, 1]), 0);
        return x;
      });

    it('are few: equal uniforms are written once, and many shaders are submitted at once', async () => {
      const work = async () => {
        const x = normed(100);
        await expectClose(
          x,
          [3, 4].map(side => side / Math.sqrt(12.5)),
          1e-5,
        );
        x.dispose();
      };
      await work();
      const {dispatches, writes, submits} = await countCommands(work);
      expect(dispatches).to.be.at.least(100);
      expect(writes).to.equal(0);
      expect(submits).to.be.at.most(2);
    });

    it('are submitted earlier if they make much, so that what is freed can be used again', async () => {
      const {submits} = await countCommands(async () => {
        const x = tf.tidy(() => {
          let large: tf.Tensor = tf.zeros([64, 2 ** 16]); // 16 MiB
          for (let i = 0; i < 12; i++) large = rmsNorm(large, tf.ones([2 ** 16]), 1);
          return tf.slice(large, [0, 0], [1, 1]);
        });
        await x.data();
        x.dispose();
      });
      expect(submits).to.be.at.least(3);
    });

    it('leave tensors that tfjs makes of numbers on the host as they are', async () => {
      normed(1).dispose(); // from the first shader of ours on
      const layout = {kind: 'dense', dim: 1} as const;
      const number = (x: number) => tf.tensor4d([x], [1, 1, 1, 1]);
      const partial = tf.tidy(() =>
        attendReference(
          {queries: tf.tensor4d([0.3, -0.2], [1, 1, 2, 1]), keyData: number(0.4), valueData: number(0.4)},
          {tokens: 1, scale: 1, firstQuery: -1, keys: layout, values: layout},
        ),
      );
      await expectClose(partial, [0, -Infinity, 0, 0.4, -0.08, 1], 1e-6);
      partial.dispose();
    });

    it('that read one uniform never see that of another', async () => {
      const outputs = Array.from({length: 50}, (_, i) =>
        tf.tidy(() => rmsNorm(tf.tensor2d([[3, 4]]), tf.tensor1d([1, 1]), i)),
      );
      for (const [i, output] of outputs.entries()) {
        await expectClose(
          output,
          [3, 4].map(side => side / Math.sqrt(12.5 + i)),
          1e-5,
        );
      }
      tf.dispose(outputs);
    });
  },
  testBackends.filter(backend => backend === 'webgpu'),
);
