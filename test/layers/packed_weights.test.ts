import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {
  attention,
  eigenAttention,
  feedForward,
  flashAttention,
  outputHead,
  rmsNormalization,
  tokenEmbedding,
} from '../../layers/index.js';
import {formatOf} from '../../ops/weights/packed_variables.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {type WeightFormat, recordsShape, weightFormats} from '../../ops/weights/formats.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {describeOnBackends} from '../support/backends.js';
import {copyUnpacked, expectCloseToLargest, recordsOf, setRandomWeights} from '../support/packed_layers.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';

/** No multiple of 32 and no multiple of 8, so that all records are padded. */
const dim = 44;
/** Small, so that scores of attention are not so large that a rounded input changes which token is attended to. */
const hidden = () => tf.randomNormal([2, 5, dim], 0, 0.3, 'float32', 3);
const ids = () => tf.tensor2d([0, 3, 6, 3, 8, 1], [2, 3], 'int32');

interface PackedCase {
  readonly make: (weights: WeightFormat) => tf.layers.Layer;
  readonly input: () => tf.Tensor;
  readonly params: number;
}

const grouped = {numHeads: 4, numKvHeads: 2, headDim: 6, rope: {theta: 100}, useBias: true, name: 'layer'};
const cases: Record<string, PackedCase> = {
  attention: {
    make: weights => attention({...grouped, useOutputBias: true, weights}),
    input: hidden,
    params: 2 * dim * 24 + 2 * dim * 12 + 24 + 12 + 12 + dim,
  },
  'flash attention': {
    make: weights => flashAttention({numHeads: 4, name: 'layer', weights}),
    input: hidden,
    params: 4 * dim * dim,
  },
  'eigen attention': {
    make: weights => eigenAttention({...grouped, keyRank: [2, 3], valueRank: 4, useKeyMean: true, weights}),
    input: hidden,
    params: dim * 24 + dim * 6 + dim * 8 + dim * 16 + 24 + 6 + 8 + 2 * 3 * 6 + 12,
  },
  'feed-forward, gated': {
    make: weights => feedForward({hiddenDim: 70, useBias: true, name: 'layer', weights}),
    input: hidden,
    params: 3 * dim * 70 + 70 + 70 + dim,
  },
  'feed-forward, plain': {
    make: weights =>
      feedForward({hiddenDim: 70, gated: false, activation: 'geluNew', name: 'layer', weights}),
    input: hidden,
    params: 2 * dim * 70,
  },
  'token embedding, in': {
    make: weights => tokenEmbedding({vocabSize: 9, dim, name: 'layer', weights}),
    input: ids,
    params: 9 * dim,
  },
  'token embedding, out': {
    make: weights => tokenEmbedding({vocabSize: 9, dim, name: 'layer', weights}),
    input: hidden,
    params: 9 * dim,
  },
  'output head': {
    make: weights => outputHead({vocabSize: 9, name: 'layer', weights}),
    input: hidden,
    params: 9 * dim,
  },
};
const packedFormats = weightFormats.filter(format => format !== 'float32');

/** A model of one layer. */
function modelOf(layer: tf.layers.Layer, x: tf.Tensor): tf.LayersModel {
  const inputs = tf.input({shape: x.shape.slice(1), dtype: x.dtype});
  return tf.model({inputs, outputs: layer.apply(inputs) as tf.SymbolicTensor});
}

/** Saves a model and loads it again, its topology through text as a file would be. */
async function reloaded(model: tf.LayersModel): Promise<tf.LayersModel> {
  const saved: tf.io.ModelArtifacts[] = [];
  await model.save(
    tf.io.withSaveHandler(artifacts => {
      saved.push(artifacts);
      return Promise.resolve({modelArtifactsInfo: {dateSaved: new Date(0), modelTopologyType: 'JSON'}});
    }),
  );
  const modelTopology = JSON.parse(JSON.stringify(saved[0]!.modelTopology)) as object;
  return tf.loadLayersModel(tf.io.fromMemory({...saved[0]!, modelTopology}));
}

for (const [name, {make, input, params}] of Object.entries(cases)) {
  describeOnBackends(`packed weights of ${name}`, () => {
    for (const format of packedFormats) {
      it(`${format}: compute what the same numbers as float32 compute, gradients too`, async () => {
        const [packed, floats, x] = [make(format), make('float32'), input()];
        tf.tidy(() => [packed, floats].forEach(layer => layer.apply(x)));
        setRandomWeights(packed, 5);
        copyUnpacked(packed, floats);
        const [actual, expected] = [packed.apply(x) as tf.Tensor, floats.apply(x) as tf.Tensor];
        await expectCloseToLargest(actual, expected, 5e-4);
        if (x.dtype === 'float32') {
          const through = (layer: tf.layers.Layer) =>
            tf.grad(given => {
              const output = layer.apply(given) as tf.Tensor;
              return tf.sum(tf.mul(output, tf.randomNormal(output.shape, 0, 1, 'float32', 9)));
            })(x);
          const [gradient, wanted] = [through(packed), through(floats)];
          await expectCloseToLargest(gradient, wanted, 2e-3);
          tf.dispose([gradient, wanted]);
        }
        tf.dispose([actual, expected, x]);
        packed.dispose();
        floats.dispose();
      });
    }

    it('count as numbers, not as words, and are not trainable', () => {
      const x = input();
      for (const format of weightFormats) {
        const model = modelOf(make(format), x);
        const layer = model.layers[1]!;
        expect(layer.countParams(), format).to.equal(params);
        expect(model.countParams(), format).to.equal(params);
        const lines: string[] = [];
        model.summary(undefined, undefined, (line: string) => lines.push(line));
        expect(lines.join('\n')).to.include(`Total params: ${params}\n`);
        for (const variable of layer.trainableWeights) expect(formatOf(variable)).to.equal('float32');
        for (const variable of layer.weights.filter(each => formatOf(each) !== 'float32')) {
          const [first, second] = variable.shape as [number, number];
          const [inputs, outputs] = name.startsWith('token embedding') ? [second, first] : [first, second];
          expect(variable.read().shape).to.deep.equal(recordsShape(format as 'packed8', inputs, outputs));
        }
        model.dispose();
      }
      x.dispose();
    });

    it('are the same bits after save and load, with the config', async () => {
      const x = input();
      for (const format of weightFormats) {
        const model = modelOf(make(format), x);
        setRandomWeights(model, 8);
        const again = await reloaded(model);
        expect(again.layers[1]!.getConfig()).to.deep.equal(model.layers[1]!.getConfig());
        expect(again.countParams()).to.equal(params);
        expect(recordsOf(again)).to.deep.equal(recordsOf(model));
        const [expected, actual] = [model.predict(x) as tf.Tensor, again.predict(x) as tf.Tensor];
        await expectClose(actual, expected, 0);
        tf.dispose([expected, actual]);
        model.dispose();
        again.dispose();
      }
      x.dispose();
    });

    it('leak no tensor, in a gradient neither', async () => {
      const layer = make('packed8By16');
      await expectNoLeak(() => tf.tidy(() => void layer.apply(input())));
      if (input === hidden) {
        await expectNoLeak(() => tf.tidy(() => tf.grad(x => tf.sum(layer.apply(x) as tf.Tensor))(input())));
      }
      layer.dispose();
    });
  });
}

describe('a layer with packed weights', () => {
  before(() => useBackend('wasm'));

  it('has a format for each matrix that is named, and float32 for the others', async () => {
    const x = hidden();
    const layer = feedForward({
      hiddenDim: 8,
      weights: {up: 'packed4', down: 'bfloat16'},
      activations: 'int8',
    });
    const model = modelOf(layer, x);
    const again = await reloaded(model);
    for (const {layers} of [model, again]) {
      const formats = layers[1]!.weights.map(variable => [
        variable.originalName.split('/')[1],
        formatOf(variable),
      ]);
      expect(Object.fromEntries(formats)).to.deep.equal({
        gate_kernel: 'float32',
        up_kernel: 'packed4',
        down_kernel: 'bfloat16',
      });
      expect(layers[1]!.getConfig()['activations']).to.equal('int8');
    }
    tf.dispose(x);
    model.dispose();
    again.dispose();
  });

  it('trains what is not packed, and leaves the packed weights', async () => {
    const inputs = tf.input({shape: [null, dim]});
    const block = [
      rmsNormalization({name: 'norm'}),
      attention({
        numHeads: 4,
        headDim: 6,
        weights: {query: 'packed4', output: 'packed8Min'},
        name: 'attention',
      }),
      feedForward({hiddenDim: 20, weights: 'packed8', useBias: true, name: 'feed'}),
    ];
    const outputs = block.reduce((x, layer) => layer.apply(x) as tf.SymbolicTensor, inputs);
    const model = tf.model({inputs, outputs});
    setRandomWeights(model, 2);
    for (const layer of model.layers) layer.trainable = true;
    model.compile({optimizer: tf.train.adam(0.05), loss: 'meanSquaredError'});
    const records = recordsOf(model);
    expect(Object.keys(records).length).to.equal(5);
    const floats = () => model.trainableWeights.map(variable => variable.read().dataSync().slice());
    const before = floats();
    const [x, y] = [hidden(), tf.zeros([2, 5, dim])];
    const {history} = await model.fit(x, y, {epochs: 4, shuffle: false});
    const losses = history['loss'] as number[];
    expect(losses.at(-1)).to.be.below(losses[0]!);
    expect(recordsOf(model)).to.deep.equal(records);
    floats().forEach((numbers, i) => expect(numbers).not.to.deep.equal(before[i]));
    tf.dispose([x, y]);
    model.dispose();
  });

  for (const format of packedFormats.filter(each => each !== 'bfloat16')) {
    it(`${format}: refuses records with a NaN or an infinity by whatever way they come, and takes repaired ones`, () => {
      const x = tf.tensor2d([[0, 8]], undefined, 'int32');
      const layer = tokenEmbedding({vocabSize: 9, dim, name: 'a', weights: format});
      tf.dispose(layer.apply(x) as tf.Tensor);
      setRandomWeights(layer, 4);
      const records = layer.getWeights()[0]!;
      for (const bits of [0x7c00, 0xfc00, 0x7e01]) {
        const halves = new Uint16Array(records.dataSync().slice().buffer);
        halves[halves.length - 1] = bits; // the last minimum, scale or weight
        const damaged = tf.tensor(new Int32Array(halves.buffer), records.shape, 'int32');
        layer.setWeights([damaged]);
        const before = tf.memory();
        const embedding = () => tf.dispose(layer.apply(x) as tf.Tensor);
        const head = () => tf.dispose(tf.tidy(() => layer.apply(tf.ones([1, 1, dim])) as tf.Tensor));
        for (const use of [embedding, head]) {
          expect(use).to.throw(InvalidArgumentError, /^Record 3 of a .* that is NaN or infinite; expected/);
        }
        expect(tf.memory()).to.deep.equal(before);
        damaged.dispose();
      }
      setRandomWeights(layer, 4);
      tf.dispose(layer.apply(x) as tf.Tensor);
      x.dispose();
      layer.dispose();
    });
  }

  it('refuses formats, matrices and activations that there are not', () => {
    const options = {numHeads: 2, name: 'a'};
    const refused: [() => unknown, string][] = [
      [
        () => attention({...options, weights: 'packed5' as 'packed4'}),
        'a: weights = "packed5"; expected one of float32, packed4',
      ],
      [
        () => attention({...options, weights: {query: 8 as unknown as 'packed8'}}),
        'a: weights.query = 8; expected one of',
      ],
      [
        () => attention({...options, weights: {keys: 'packed8'} as object}),
        'a: weights has a format for "keys"; this layer has query, key, value, output. Did you mean "key"?',
      ],
      [
        () => attention({...options, weights: ['packed4'] as unknown as 'packed4'}),
        'a: weights = ["packed4"]; expected one of',
      ],
      [
        () => attention({...options, weights: null as unknown as 'packed8'}),
        'a: weights = null; expected one of',
      ],
      [
        () => attention({...options, activations: 'int4' as 'int8'}),
        'a: activations = "int4"; expected int16 or int8.',
      ],
    ];
    for (const [make, message] of refused) expect(make).to.throw(InvalidArgumentError, message);
  });
});
