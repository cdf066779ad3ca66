import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {ContextLengthError, InvalidArgumentError} from '../../../base/errors.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {generate} from '../../../models/index.js';
import {evaluate, writingDivergence} from '../../../src/evaluate/index.js';
import {rejection} from '../../base/files/rejection.js';
import {expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';

describe('writingDivergence', () => {
  let model: tf.LayersModel;
  before(async () => {
    await useBackend('wasm');
    model = tinyModel(3);
  });
  after(() => void model.dispose());
  const loaded = (contextLength = 1024) => ({model, tokenizer: characterTokenizer, contextLength});
  const prompt = 'It was the best of times, it was the worst';

  it('gives no divergence to a cache that keeps all, and more to one that keeps less', async () => {
    const plans = ['full', 'sliding:window=200', 'sliding:window=32', 'sliding:window=4'];
    const {rows, tokens, promptTokens} = await writingDivergence(loaded(), prompt, {plans, tokens: 60});
    expect({tokens, promptTokens}).to.deep.equal({tokens: 60, promptTokens: prompt.length + 1});
    expect(rows.map(({plan}) => plan)).to.deep.equal(plans.slice(1));
    const [all, some, few] = rows;
    expect(all!.klDivergence).to.be.closeTo(0, 1e-6);
    expect(some!.klDivergence).to.be.above(1e-4);
    expect(few!.klDivergence).to.be.above(some!.klDivergence);
    expect(few!.ratioToFloat32).to.be.below(some!.ratioToFloat32);
    for (const {spans, klDivergence} of rows) {
      expect(spans.map(({from, to}) => [from, to])).to.deep.equal([
        [1, 12],
        [13, 24],
        [25, 36],
        [37, 48],
        [49, 60],
      ]);
      const mean = spans.reduce((sum, span) => sum + span.klDivergence, 0) / 5;
      expect(mean).to.be.closeTo(klDivergence, 1e-9);
    }
  });

  it('compares what evaluate compares, on the text that the full cache samples', async () => {
    const options = {tokens: 30, temperature: 0.8, seed: 5};
    const ids: number[] = [];
    for await (const id of generate(model, characterTokenizer.encode(prompt), {...options, eosIds: []}))
      ids.push(id);
    const whole = [...characterTokenizer.encode(prompt), ...ids];
    const plans = ['sliding:window=8'];
    const {rows} = await writingDivergence(loaded(), prompt, {...options, plans, spans: 1, chunk: 1});
    const evaluated = await evaluate(loaded(), whole, {plans, chunk: 1});
    const before = await evaluate(loaded(), whole.slice(0, -30), {plans, chunk: 1});
    const sumOf = ({rows: [, row], tokens}: typeof before) => row!.klDivergence * (tokens - 1);
    expect(rows[0]!.klDivergence).to.be.closeTo((sumOf(evaluated) - sumOf(before)) / 30, 1e-6);
  });

  it('leaks nothing, tells its progress, and stops when it is told to', async () => {
    let last = 0;
    const options = {plans: ['quantized:bits=4,groupSize=8'], tokens: 6};
    const onProgress = ({done, total}: {done: number; total: number}) => void (last = done / total);
    await expectNoLeak(() =>
      writingDivergence(loaded(), prompt, {...options, onProgress}).then(() => undefined),
    );
    expect(last).to.equal(1);
    const stop = new AbortController();
    const stopped = writingDivergence(loaded(), prompt, {
      ...options,
      signal: stop.signal,
      onProgress: () => stop.abort(),
    });
    await rejection(stopped, DOMException, /abort/i);
  });

  it('refuses what does not fit, and options that are not allowed', async () => {
    const {numTensors} = tf.memory();
    await rejection(
      writingDivergence(loaded(50), prompt, {tokens: 8}),
      ContextLengthError,
      /8 tokens after a prompt of 43 are 51.*holds 50/,
    );
    await rejection(writingDivergence(loaded(), '', {}), InvalidArgumentError, /The prompt is empty/);
    for (const options of [{tokens: 0}, {spans: 0}, {temperature: 0}, {seed: 0.5}, {promptTokens: 0}]) {
      await rejection(writingDivergence(loaded(), prompt, options), InvalidArgumentError, /expected a/);
    }
    expect(tf.memory().numTensors).to.equal(numTensors);
  });
});
