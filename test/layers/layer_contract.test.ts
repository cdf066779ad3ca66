import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import * as layers from '../../layers/index.js';
import {describeOnBackends} from '../support/backends.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

interface LayerCase {
  readonly make: () => tf.layers.Layer;
  readonly input: () => tf.Tensor;
  readonly params: number;
  /** Weights that get a gradient, all of them here. */
  readonly weights: number;
}

const hidden = () => tf.randomNormal([2, 5, 12], 0, 1, 'float32', 3);
const ids = () =>
  tf.tensor2d(
    [
      [0, 3, 6],
      [3, 3, 1],
    ],
    [2, 3],
    'int32',
  );

const cases: Record<string, LayerCase> = {
  attention: {
    make: () => layers.attention({numHeads: 3, name: 'a'}),
    input: hidden,
    params: 4 * 12 * 12,
    weights: 4,
  },
  'attention, grouped heads, rope, biases': {
    make: () =>
      layers.attention({
        numHeads: 4,
        numKvHeads: 2,
        headDim: 6,
        depth: 3,
        rope: {theta: 100, rotaryDim: 4, interleaved: true, scaling: {type: 'linear', factor: 2}},
        useBias: true,
        useOutputBias: true,
        name: 'b',
      }),
    input: hidden,
    params: 2 * (12 * 24) + 2 * (12 * 12) + 24 + 12 + 12 + 12,
    weights: 8,
  },
  'attention within a window, of capped scores': {
    make: () =>
      layers.attention({
        numHeads: 4,
        numKvHeads: 2,
        headDim: 6,
        rope: {theta: 100},
        ...{window: 3, softCap: 0.5, scale: 0.8},
        name: 'q',
      }),
    input: hidden,
    params: 2 * (12 * 24) + 2 * (12 * 12),
    weights: 4,
  },
  'attention with ALiBi': {
    make: () => layers.attention({numHeads: 3, alibi: true, name: 'r'}),
    input: hidden,
    params: 4 * 12 * 12,
    weights: 4,
  },
  'attention with relative biases': {
    make: () => layers.attention({numHeads: 3, relativeDistances: 4, name: 'rb'}),
    input: hidden,
    params: 4 * 12 * 12 + 3 * 4,
    weights: 5,
  },
  'attention with norms of queries and keys by head': {
    make: () =>
      layers.attention({
        ...{numHeads: 4, numKvHeads: 2, headDim: 6, rope: {theta: 100}, qkNorm: 'head', name: 'v'},
      }),
    input: hidden,
    params: 2 * (12 * 24) + 2 * (12 * 12) + 6 + 6,
    weights: 6,
  },
  'attention with norms of all queries and of all keys, and growing queries': {
    make: () =>
      layers.attention({
        ...{numHeads: 4, numKvHeads: 2, headDim: 6, qkNorm: 'projection', qkNormEpsilon: 0.01},
        queryGrowth: {rate: 0.7, period: 2},
        name: 'w',
      }),
    input: hidden,
    params: 2 * (12 * 24) + 2 * (12 * 12) + 24 + 12,
    weights: 6,
  },
  'eigen attention within a window, of capped scores': {
    make: () =>
      layers.eigenAttention({
        ...{numHeads: 2, headDim: 6, rankRatio: 0.5, rope: {theta: 100}},
        ...{window: 3, softCap: 0.5, scale: 0.8},
        name: 's',
      }),
    input: hidden,
    params: 12 * 12 + 2 * (12 * 6) + 6 * 12 + 2 * 3 * 6,
    weights: 5,
  },
  'flash attention': {
    make: () => layers.flashAttention({numHeads: 3, numKvHeads: 1, compressionRatio: 0.5, name: 'k'}),
    input: hidden,
    params: 2 * 12 * 12 + 2 * 12 * 4,
    weights: 4,
  },
  'eigen attention, merged, biases': {
    make: () =>
      layers.eigenAttention({
        numHeads: 4,
        numKvHeads: 2,
        headDim: 6,
        keyRank: 4,
        valueRank: 3,
        useBias: true,
        name: 'l',
      }),
    input: hidden,
    params: 12 * 16 + 12 * 8 + 12 * 6 + 12 * 12 + 16 + 8 + 6,
    weights: 7,
  },
  'eigen attention, keys before their rotation': {
    make: () =>
      layers.eigenAttention({
        numHeads: 4,
        numKvHeads: 2,
        headDim: 6,
        rankRatio: 0.5,
        rope: {theta: 100},
        useKeyMean: true,
        cachePolicy: {name: 'quantized', options: {bits: 4}},
        name: 'm',
      }),
    input: hidden,
    params: 12 * 24 + 12 * 6 + 12 * 6 + 12 * 12 + 2 * 3 * 6 + 12,
    weights: 6,
  },
  'eigen attention, keys behind their rotation, ranks by head': {
    make: () =>
      layers.eigenAttention({
        numHeads: 2,
        headDim: 6,
        keyRank: [5, 2],
        valueRank: [1, 4],
        rope: {theta: 100},
        ropeMode: 'after',
        useOutputBias: true,
        name: 'n',
      }),
    input: hidden,
    params: 2 * (12 * 12) + 2 * (12 * 8) + 2 * (2 * 5 * 6) + 12,
    weights: 7,
  },
  'eigen attention, keys whole': {
    make: () =>
      layers.eigenAttention({
        numHeads: 3,
        keyRank: 4,
        valueRank: [1, 2, 2],
        rope: {theta: 100},
        useKeyMean: true,
        name: 'p',
      }),
    input: hidden,
    params: 2 * 12 * 12 + 2 * (12 * 6),
    weights: 4,
  },
  'eigen attention at the sizes of dense heads': {
    make: () =>
      layers.eigenAttention({
        numHeads: 3,
        keyRank: [2, 1, 3],
        valueRank: 2,
        rope: {},
        useEigen: false,
        name: 'o',
      }),
    input: hidden,
    params: 12 * 12 + 12 * 9 + 2 * (12 * 6) + 3 * 3 * 4,
    weights: 5,
  },
  'multi-head attention of Keras': {
    make: () => layers.multiHeadAttention({numHeads: 3, keyDim: 4, name: 'q'}),
    input: hidden,
    params: 4 * (12 * 12 + 12),
    weights: 8,
  },
  'multi-head attention of Keras, all options': {
    make: () =>
      layers.multiHeadAttention({
        ...{
          numHeads: 3,
          keyDim: 4,
          valueDim: 2,
          outputShape: [7],
          useBias: false,
          useGate: true,
          slidingWindow: 2,
        },
        ...{
          dropout: 0.1,
          seed: 5,
          attentionAxes: 1,
          kernelInitializer: 'heNormal',
          kernelRegularizer: 'l1l2',
        },
        ...{biasInitializer: 'ones', name: 'r'},
      }),
    input: hidden,
    params: 2 * (12 * 12) + 2 * (12 * 6) + 6 * 7,
    weights: 5,
  },
  'grouped-query attention of Keras': {
    make: () => layers.groupQueryAttention({headDim: 4, numQueryHeads: 4, numKeyValueHeads: 2, name: 's'}),
    input: hidden,
    params: 2 * 12 * 16 + 2 * 12 * 8 + 16 + 2 * 8 + 12,
    weights: 8,
  },
  operator: {
    make: () => layers.operator({operation: 'subtract', operands: [3, null], name: 't'}),
    input: hidden,
    params: 0,
    weights: 0,
  },
  'rms normalization of Keras': {
    make: () => layers.kerasRmsNormalization({axis: 2, epsilon: 1e-3, name: 'v'}),
    input: hidden,
    params: 12,
    weights: 1,
  },
  'padding mask': {
    make: () => layers.paddingMask({maskValue: 3, name: 'u'}),
    input: ids,
    params: 0,
    weights: 0,
  },
  'feed-forward, gated': {
    make: () => layers.feedForward({hiddenDim: 20, name: 'c'}),
    input: hidden,
    params: 3 * 12 * 20,
    weights: 3,
  },
  'feed-forward, plain, biases': {
    make: () =>
      layers.feedForward({hiddenDim: 20, gated: false, activation: 'geluNew', useBias: true, name: 'd'}),
    input: hidden,
    params: 2 * 12 * 20 + 20 + 12,
    weights: 4,
  },
  'rms normalization': {
    make: () => layers.rmsNormalization({epsilon: 1e-3, name: 'e'}),
    input: hidden,
    params: 12,
    weights: 1,
  },
  'token embedding, in': {
    make: () => layers.tokenEmbedding({vocabSize: 7, dim: 12, name: 'f'}),
    input: ids,
    params: 84,
    weights: 1,
  },
  'token embedding, out': {
    make: () => layers.tokenEmbedding({vocabSize: 7, dim: 12, name: 'g'}),
    input: hidden,
    params: 84,
    weights: 1,
  },
  'position embedding': {
    make: () => layers.positionEmbedding({maxPositions: 9, name: 'h'}),
    input: hidden,
    params: 9 * 12,
    weights: 1,
  },
  'position embedding from its third row on': {
    make: () => layers.positionEmbedding({maxPositions: 9, firstPosition: 2, name: 't'}),
    input: hidden,
    params: 11 * 12,
    weights: 1,
  },
  'output head, biases': {
    make: () => layers.outputHead({vocabSize: 7, useBias: true, name: 'u'}),
    input: hidden,
    params: 84 + 7,
    weights: 2,
  },
  scaling: {
    make: () => layers.scaling({factor: 3, softCap: 2, name: 'x'}),
    input: hidden,
    params: 0,
    weights: 0,
  },
  'output head': {
    make: () => layers.outputHead({vocabSize: 7, name: 'i'}),
    input: hidden,
    params: 84,
    weights: 1,
  },
  'token selection': {make: () => layers.tokenSelection({name: 'j'}), input: hidden, params: 0, weights: 0},
};

describe('the layers', () => {
  it('are all in this contract test', () => {
    const classes = Object.values(layers).filter(
      (value): value is typeof layers.Attention => 'className' in value,
    );
    const tested = new Set(Object.values(cases).map(({make}) => make().getClassName()));
    expect(classes.map(({className}) => className).filter(name => !tested.has(name))).to.deep.equal([]);
  });
});

for (const [name, {make, input, params, weights}] of Object.entries(cases)) {
  describeOnBackends(`layer ${name}`, () => {
    it('counts its parameters and says its output shape', () => {
      tf.tidy(() => {
        const layer = make();
        const x = input();
        const output = layer.apply(x) as tf.Tensor;
        expect(layer.countParams()).to.equal(params);
        expect(layer.trainableWeights.length).to.equal(weights);
        expect(layer.computeOutputShape(x.shape)).to.deep.equal(output.shape);
        layer.dispose();
      });
    });

    it('is the same again from its saved config', async () => {
      const x = input();
      const build = (layer: tf.layers.Layer) => {
        const symbolic = tf.input({shape: x.shape.slice(1), dtype: x.dtype});
        return tf.model({inputs: symbolic, outputs: layer.apply(symbolic) as tf.SymbolicTensor});
      };
      const model = build(make());
      let saved: tf.io.ModelArtifacts | undefined;
      await model.save(
        tf.io.withSaveHandler(artifacts => {
          saved = artifacts;
          return Promise.resolve({modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'}});
        }),
      );
      // through text, as a file would be
      const topology: unknown = JSON.parse(JSON.stringify(saved!.modelTopology));
      const again = await tf.loadLayersModel(
        tf.io.fromMemory({...saved!, modelTopology: topology as object}),
      );
      expect(again.layers[1]!.getConfig()).to.deep.equal(model.layers[1]!.getConfig());
      const [expected, actual] = [model.predict(x) as tf.Tensor, again.predict(x) as tf.Tensor];
      await expectClose(actual, expected, 0);
      tf.dispose([x, expected, actual]);
      model.dispose();
      again.dispose();
    });

    it('has a correct gradient in its weights and its input', () => {
      const layer = make();
      const x = input();
      const weight = tf.tidy(() =>
        (layer.apply(x) as tf.Tensor)
          .mul(0)
          .add(tf.randomNormal(layer.computeOutputShape(x.shape) as number[], 0, 1, 'float32', 4)),
      );
      const loss = () => tf.tidy(() => tf.sum<tf.Scalar>(tf.mul(layer.apply(x) as tf.Tensor, weight)));
      const weightIds = new Set(layer.trainableWeights.map(w => w.read().id));
      const variables = Object.values(tf.engine().registeredVariables).filter(({id}) => weightIds.has(id));
      if (variables.length > 0) {
        const {grads} = tf.variableGrads(loss, variables);
        for (const variable of variables) {
          checkGradient(variable, grads[variable.name]!, loss);
        }
        tf.dispose(grads);
      }
      if (x.dtype === 'float32') {
        const variable = tf.variable(x);
        const through = () =>
          tf.tidy(() => tf.sum<tf.Scalar>(tf.mul(layer.apply(variable) as tf.Tensor, weight)));
        const {grads} = tf.variableGrads(through, [variable]);
        checkGradient(variable, Object.values(grads)[0]!, through);
        tf.dispose([variable, grads]);
      }
      tf.dispose([x, weight]);
      layer.dispose();
    });

    it('leaks no tensor', async () => {
      const layer = make();
      await expectNoLeak(() => tf.tidy(() => void layer.apply(input())));
      layer.dispose();
    });
  });
}

/** Central differences along a few random directions, which see every element at once. */
function checkGradient(variable: tf.Variable, gradient: tf.Tensor, loss: () => tf.Scalar): void {
  const start = variable.clone();
  const step = 2.5e-3; // at 1e-2 the fifth derivative shows where scores are capped
  for (const seed of [11, 12, 13]) {
    const direction = tf.randomNormal(variable.shape, 0, 1, 'float32', seed);
    const at = (distance: number): number =>
      tf.tidy(() => {
        variable.assign(tf.add(start, tf.mul(direction, distance)));
        return loss().dataSync()[0]!;
      });
    // fourth order: the error is far below float32 rounding of the loss
    const numeric = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
    const analytic = tf.tidy(() => tf.sum(tf.mul(gradient, direction)).dataSync()[0]!);
    const size = tf.tidy(() => tf.norm(gradient).mul(tf.norm(direction)).dataSync()[0]!);
    const slack = 2e-3 * size + 2e-3;
    expect(Math.abs(numeric - analytic), `${variable.name}: ${numeric} and ${analytic}`).to.be.at.most(slack);
    direction.dispose();
  }
  variable.assign(start);
  start.dispose();
}
