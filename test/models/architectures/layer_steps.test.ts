import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {goldenModel, goldenModels, goldenOf} from './golden_models.js';
import {asBatch} from './tiny_models.js';

// `predict` runs layers as tfjs does, `apply` by their steps.

describe('the steps of a model', () => {
  before(() => useBackend('wasm'));

  for (const name of goldenModels) {
    it(`of ${name} give what tfjs' own way through its layers gives`, async () => {
      const {ids} = await goldenOf(name);
      const {model} = await goldenModel(name);
      const [applied, predicted] = tf.tidy(() => {
        const batch = asBatch(ids);
        return [model.apply(batch), model.predict(batch)].map(logits => (logits as tf.Tensor).dataSync());
      });
      expect([...applied!]).to.deep.equal([...predicted!]);
      model.dispose();
    });
  }

  it('free what no later layer reads', async () => {
    const {ids} = await goldenOf('phi3');
    const {model} = await goldenModel('phi3');
    const peakOf = async (kwargs: object) => {
      const batch = asBatch(ids);
      const before = tf.memory().numBytes;
      const {peakBytes} = await tf.profile(() => tf.tidy(() => model.apply(batch, kwargs) as tf.Tensor));
      batch.dispose();
      return peakBytes - before;
    };
    // tfjs keeps everything in training
    expect(await peakOf({})).to.be.below(0.9 * (await peakOf({training: true})));
    model.dispose();
  });
});
