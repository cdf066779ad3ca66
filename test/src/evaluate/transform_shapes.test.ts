import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {transform} from '../../../cache/index.js';
import {buildModel, calibrate, transformProfile} from '../../../models/index.js';
import type {ModelConfig} from '../../../models/architectures/parts/model_config.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {evaluate} from '../../../src/evaluate/index.js';
import {randomFloats, randomStream} from '../../support/random.js';

type Shape = Pick<ModelConfig, 'heads' | 'kvHeads' | 'headDim'> &
  Partial<Pick<ModelConfig, 'architecture' | 'rope'>>;

const shapes: readonly (readonly [name: string, shape: Shape])[] = [
  ['heads of 32, each with keys of its own', {heads: 2, kvHeads: 2, headDim: 32}],
  ['heads of 64 in groups', {heads: 4, kvHeads: 2, headDim: 64}],
  ['heads of 128 with one key head', {heads: 2, kvHeads: 1, headDim: 128}],
  ['heads of 256', {heads: 1, kvHeads: 1, headDim: 256}],
  ['heads of 36, no multiple of 8', {heads: 4, kvHeads: 2, headDim: 36}],
  [
    'a rotation of interleaved pairs',
    {heads: 2, kvHeads: 1, headDim: 32, rope: {theta: 100, interleaved: true}},
  ],
  ['no rotation, heads of 20', {architecture: 'gpt2', heads: 3, kvHeads: 3, headDim: 20}],
];
const vocabSize = 97;
const idsFrom = (seed: number, tokens: number) => {
  const random = randomStream(seed);
  return Array.from({length: tokens}, () => Math.floor(vocabSize * random()));
};

describe('transform on random models', () => {
  before(() => useBackend('wasm'));

  for (const [name, shape] of shapes) {
    it(`is calibrated and loses less with more bits: ${name}`, async () => {
      const model = randomModel(shape);
      const options = {window: 400, gradientTokens: 800};
      const profile = transformProfile(await calibrate(model, [idsFrom(3, 800)], options));
      const plans = [2, 4, 8].map(bits => transform({bits, profile}));
      const {rows} = await evaluate(model, idsFrom(5, 400), {plans});
      const [two = NaN, four = NaN, eight = NaN] = rows.slice(1).map(({klDivergence}) => klDivergence);
      expect(two).to.be.within(1e-6, 1e-3);
      expect(four).to.be.below(two / 3);
      expect(eight).to.be.below(four / 3);
      model.dispose();
    });
  }
});

/** One with its own weights at each call, the same each time. */
function randomModel({
  architecture = 'llama',
  heads,
  kvHeads,
  headDim,
  rope = {theta: 100},
}: Shape): tf.LayersModel {
  const isLlama = architecture === 'llama';
  const model = buildModel({
    ...{architecture, vocabSize, contextLength: 400, depths: 2, heads, kvHeads, headDim},
    ...{dim: heads * headDim, hiddenDim: 48, normEpsilon: 1e-5, tiedEmbeddings: false},
    ...(isLlama && {rope}),
    activation: isLlama ? 'silu' : 'gelu',
    biases: {queryKeyValue: !isLlama, attentionOutput: !isLlama, feedForward: !isLlama},
  });
  tf.tidy(() => {
    const weights = model.getWeights().map(({shape, size}, i) => {
      const spread = shape.length === 1 ? 0.1 : 3 / Math.sqrt(shape[0]);
      return tf.tensor(randomFloats(1000 + i, size, spread), shape);
    });
    model.setWeights(weights);
  });
  return model;
}
