import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache, policy} from '../../cache/index.js';
import {attention, eigenAttention} from '../../layers/index.js';
import {floatsOf} from '../../ops/weights/packed_variables.js';
import {describeOnBackends} from '../support/backends.js';
import {setRandomWeights} from '../support/packed_layers.js';
import {expectClose} from '../support/tensors.js';

const [modelDim, numHeads, numKvHeads] = [64, 4, 2];

function modelOf(layer: tf.layers.Layer): tf.LayersModel {
  const input = tf.input({shape: [null, modelDim]});
  return tf.model({inputs: input, outputs: layer.apply(input) as tf.SymbolicTensor});
}

describeOnBackends('the output metric of an attention layer', () => {
  const layers = {
    'of float32 weights': () => attention({numHeads, numKvHeads}),
    'of packed weights': () => attention({numHeads, numKvHeads, weights: 'packed4'}),
    'of latents': () => eigenAttention({numHeads, numKvHeads, keyRank: 4, valueRank: 3}),
  };
  for (const [name, make] of Object.entries(layers)) {
    it(`${name}: x G x is the squared length of x W_O`, async () => {
      const layer = make();
      const model = modelOf(layer);
      setRandomWeights(layer, 3);
      const gram = layer.outputMetric();
      expect(layer.outputMetric(), 'computed once').to.equal(gram);
      const size = gram.shape[1];
      const {expected, actual} = tf.tidy(() => {
        const kernel = layer.weights.find(({originalName}) => originalName.endsWith('output_kernel'))!;
        const x = tf.randomNormal<tf.Rank.R3>([numHeads, 5, size], 0, 1, 'float32', 7);
        const projections = tf.reshape<tf.Rank.R3>(floatsOf(kernel), [numHeads, size, modelDim]);
        return {
          expected: tf.sum(tf.square(tf.matMul(x, projections)), 2),
          actual: tf.sum(tf.mul(tf.matMul(x, gram), x), 2),
        };
      });
      const largest = Math.max(...(await expected.data<'float32'>()));
      await expectClose(actual, expected, 1e-5 * largest);
      setRandomWeights(layer, 100);
      const other = layer.outputMetric();
      expect(other, 'of other weights').not.to.equal(gram);
      expect(gram.isDisposed).to.equal(true);
      model.dispose();
      expect(other.isDisposed, 'freed with its layer').to.equal(true);
      tf.dispose([expected, actual]);
    });
  }

  it('reaches the keepers of a cache', () => {
    const layer = attention({numHeads, numKvHeads});
    const model = modelOf(layer);
    const seen: unknown[] = [];
    const keep = {
      name: 'mine',
      options: {},
      budget: 8,
      score: ({
        outputMetric,
        positions,
      }: {
        outputMetric: () => tf.Tensor3D | undefined;
        positions: tf.Tensor4D;
      }) => {
        seen.push(outputMetric());
        return positions;
      },
    };
    const cache = new KVCache(model, policy({keep, recent: 4}));
    tf.tidy(() => void model.apply(tf.ones([1, 20, modelDim]), {cache}));
    expect(seen).to.deep.equal([layer.outputMetric()]);
    expect(cache.modelBytes).to.equal(4 * layer.outputMetric().size);
    cache.dispose();
    model.dispose();
  });
});
