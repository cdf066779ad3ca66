import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {calibrate, compress, fineTune} from '../../../models/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {type EpochRow, epochCallback} from '../../../src/evaluate/index.js';
import {expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';
import {rejection} from '../../base/files/rejection.js';

const ids = characterTokenizer.encode(
  'It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness',
);

describe('fine-tuning of compressed attention', () => {
  let dense: tf.LayersModel;
  let model: tf.LayersModel;
  before(async () => {
    await useBackend('wasm');
    dense = tinyModel();
  });
  after(() => dense.dispose());
  beforeEach(async () => {
    ({model} = await compress(dense, await calibrate({model: dense}, [ids]), {ratio: 0.4}));
  });
  afterEach(() => model.dispose());

  it('brings the model back to its teacher, epoch by epoch, and evaluates at the ends of epochs', async () => {
    const rows: EpochRow[] = [];
    const evaluation = epochCallback(model, ids, {onRows: found => void rows.push(...found)});
    const frozen = model.layers.filter(layer => layer.getClassName() !== 'EigenkvEigenAttention');
    const before = frozen.flatMap(layer => layer.getWeights().map(weight => [...weight.dataSync()]));
    const losses = await fineTune(model, ids, {
      teacher: dense,
      epochs: 4,
      window: 27,
      learningRate: 3e-3,
      callbacks: [evaluation],
    });
    expect(losses).to.have.length(4);
    expect(losses.at(-1)).to.be.below(0.6 * losses[0]!);
    expect(rows.map(({epoch, loss}) => [epoch, loss])).to.deep.equal(
      losses.map((loss, epoch) => [epoch, loss]),
    );
    const after = frozen.flatMap(layer => layer.getWeights().map(weight => [...weight.dataSync()]));
    expect(after, 'nothing but attention is trained').to.deep.equal(before);
  });

  it('learns a text where there is no teacher', async () => {
    const losses = await fineTune(model, ids, {epochs: 8, window: 54, learningRate: 1e-2});
    expect(losses.at(-1)).to.be.below(losses[0]! - 0.1);
  });

  it('refuses what it cannot train, and says so where weights are spoiled', async () => {
    await rejection(fineTune(dense, ids), InvalidArgumentError, /compress it first/);
    await rejection(
      fineTune(model, ids.slice(0, 5)),
      InvalidArgumentError,
      /5 tokens, fewer than a window of 128/,
    );
    await rejection(fineTune(model, ids, {learningRate: 0}), InvalidArgumentError, /learningRate = 0/);
    await rejection(
      fineTune(model, ids, {learningRate: 1e30, window: 20, epochs: 2}),
      ModelError,
      /lower learningRate/,
    );
  });

  it('ends where it is told to, and leaves nothing behind', () =>
    expectNoLeak(async () => {
      const aborted = new AbortController();
      const run = fineTune(model, ids, {
        window: 20,
        learningRate: 1e-6,
        signal: aborted.signal,
        onProgress: ({done}) => done === 2 && aborted.abort(),
      });
      await rejection(run, Error, /abort/i);
    }));
});
