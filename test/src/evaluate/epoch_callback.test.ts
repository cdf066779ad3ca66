import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {full} from '../../../cache/policies/full.js';
import {quantized} from '../../../cache/policies/quantized.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {type EpochRow, epochCallback} from '../../../src/evaluate/epoch_callback.js';
import {evaluate} from '../../../src/evaluate/index.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';

const heldOut = 'it was the epoch of belief, it was the epoch of incredulity';
const training = 'It was the best of times, it was the worst of times, it was the age of wisdom';
const coarse = quantized({bits: 2, groupSize: 8, residual: 8});

/** Next-character prediction, as a loss that all backends can compute. */
function crossEntropy(targets: tf.Tensor, logits: tf.Tensor): tf.Tensor {
  const logs = tf.logSoftmax(tf.reshape(logits, [-1, characterTokenizer.vocabSize]));
  return tf.neg(tf.mean(tf.sum(tf.mul(tf.reshape(targets, logs.shape), logs), -1)));
}

describe('epochCallback', () => {
  let model: tf.LayersModel;
  let x: tf.Tensor;
  let y: tf.Tensor;

  before(async () => {
    await useBackend('wasm');
    const ids = characterTokenizer.encode(training);
    x = tf.tensor2d(ids.slice(0, -1), [1, ids.length - 1], 'int32');
    y = tf.oneHot(tf.tensor2d(ids.slice(1), [1, ids.length - 1], 'int32'), characterTokenizer.vocabSize);
  });
  beforeEach(() => {
    model = tinyModel(3);
    model.compile({optimizer: tf.train.adam(0.01), loss: crossEntropy});
  });
  afterEach(() => void model.dispose());
  after(() => tf.dispose([x, y]));

  it('evaluates the model as it is at the end of each epoch, on wasm', async () => {
    const told: (readonly EpochRow[])[] = [];
    const loaded = {model, tokenizer: characterTokenizer, contextLength: 1000};
    const evaluation = epochCallback(loaded, heldOut, {
      plans: [coarse],
      chunk: 16,
      onRows: rows => void told.push(rows),
    });
    const losses: number[] = [];
    await model.fit(x, y, {
      epochs: 4,
      callbacks: [
        evaluation,
        new tf.CustomCallback({onEpochEnd: (_, logs) => void losses.push(logs!['loss']!)}),
      ],
    });
    const {rows} = evaluation;
    expect(rows.map(({epoch, plan}) => [epoch, plan])).to.deep.equal(
      [0, 1, 2, 3].flatMap(epoch => [
        [epoch, 'full'],
        [epoch, 'quantized:bits=2,groupSize=8,residual=8'],
      ]),
    );
    expect(told.flat()).to.deep.equal(rows);
    expect(rows.filter(({plan}) => plan === 'full').map(({loss}) => loss)).to.deep.equal(losses);
    // it learns, and the last rows are those of the model as it came out
    expect(rows[6]!.perplexity).to.be.below(0.9 * rows[0]!.perplexity);
    const ids = characterTokenizer.encode(heldOut);
    const {rows: after} = await evaluate(model, ids, {plans: [coarse], chunk: 16});
    for (const [index, row] of after.entries()) {
      expect(rows[6 + index]!.perplexity).to.be.closeTo(row.perplexity, 1e-4 * row.perplexity);
      expect(rows[6 + index]!.bytesPerToken).to.equal(row.bytesPerToken);
    }
    expect(rows[7]!.klDivergence).to.be.above(0);
  });

  it('skips epochs, not the last one', async () => {
    const evaluation = epochCallback(model, characterTokenizer.encode(heldOut), {every: 3, tokens: 20});
    await model.fit(x, y, {epochs: 7, callbacks: evaluation});
    expect(evaluation.rows.map(({epoch}) => epoch)).to.deep.equal([2, 5, 6]);
  });

  it('leaves no tensors behind', async () => {
    const run = async () => {
      const evaluation = epochCallback(model, characterTokenizer.encode(heldOut), {plans: [full(), coarse]});
      await model.fit(x, y, {epochs: 2, callbacks: [evaluation]});
      return tf.memory().numTensors;
    };
    const plain = async () => {
      await model.fit(x, y, {epochs: 2});
      return tf.memory().numTensors;
    };
    await run(); // the optimizer's own variables, and packed weights
    expect(await run()).to.equal(await plain());
  });

  it('names what it cannot evaluate', async () => {
    expect(() => epochCallback(model, heldOut)).to.throw(InvalidArgumentError, /tokenizer/);
    for (const every of [0, 1.5, NaN]) {
      expect(() => epochCallback(model, [1, 2, 3], {every})).to.throw(InvalidArgumentError, /every/);
    }
    const loaded = {model, tokenizer: characterTokenizer};
    expect(() => epochCallback(loaded, '')).to.throw(InvalidArgumentError, /empty/);
    const old: object = {policies: [coarse]};
    expect(() => epochCallback(loaded, heldOut, old)).to.throw(InvalidArgumentError, /no option "policies"/);
    // what `evaluate` refuses ends the training
    let error: unknown;
    await model
      .fit(x, y, {epochs: 1, callbacks: epochCallback(model, [1, 2])})
      .catch((thrown: unknown) => (error = thrown));
    expect(error).to.be.instanceOf(InvalidArgumentError);
  });
});
