import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {KVCache} from '../../../cache/kv_cache.js';
import {quantized} from '../../../cache/index.js';
import {
  type Calibration,
  type CompressOptions,
  type LoadedModel,
  buildModel,
  calibrate,
  compress,
  embeddedText,
  loadModel,
  saveModel,
} from '../../../models/index.js';
import {keyBasis} from '../../../models/compress/bases.js';
import {denseAttentions} from '../../../models/compress/dense_attention.js';
import {prepare} from '../../../models/compress/prepare.js';
import {costedSides} from '../../../models/compress/error_curves.js';
import {watchFeatures} from '../../../models/compress/watch_features.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {evaluate} from '../../../src/evaluate/index.js';
import {InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {multiply64, transpose64} from '../../../ops/linalg/matrix64.js';
import {randomFloats} from '../../support/random.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';
import {rejection} from '../../base/files/rejection.js';

const text =
  'It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.';
const ids = characterTokenizer.encode(text);

/** A GPT-2 with random weights and biases: no rotation, as many key heads as query heads. */
function tinyGpt2(): tf.LayersModel {
  const model = buildModel({
    architecture: 'gpt2',
    vocabSize: 97,
    contextLength: 128,
    depths: 2,
    dim: 32,
    heads: 4,
    kvHeads: 4,
    headDim: 8,
    hiddenDim: 48,
    activation: 'geluNew',
    normEpsilon: 1e-5,
    biases: {queryKeyValue: true, attentionOutput: true, feedForward: true},
    tiedEmbeddings: true,
  });
  tf.tidy(() =>
    model.setWeights(
      model
        .getWeights()
        .map(({shape, size}, i) =>
          tf.tensor(randomFloats(900 + i, size, shape.length === 1 ? 0.3 : 0.4), shape),
        ),
    ),
  );
  return model;
}

async function logitsOf(model: tf.LayersModel, cache?: KVCache): Promise<ArrayLike<number>> {
  const chunks = cache === undefined ? [ids.length] : [40, 1, 1, 5, ids.length - 47];
  const all = tf.tidy(() => {
    let from = 0;
    const parts = chunks.map(tokens => {
      const input = tf.tensor2d(ids.slice(from, from + tokens), [1, tokens], 'int32');
      from += tokens;
      return model.apply(input, cache && {cache}) as tf.Tensor;
    });
    return tf.concat(parts, 1);
  });
  const numbers = await all.data();
  all.dispose();
  return numbers;
}

const models: Record<string, () => tf.LayersModel> = {llama: () => tinyModel(), gpt2: tinyGpt2};

for (const [name, make] of Object.entries(models)) {
  describe(`a compressed ${name}`, () => {
    let model: tf.LayersModel;
    let calibration: Calibration;
    let dense: ArrayLike<number>;
    before(async () => {
      await useBackend('wasm');
      model = make();
      calibration = await calibrate({model}, [ids]);
      dense = await logitsOf(model);
    });
    after(() => model.dispose());

    const modes: CompressOptions[] = [
      {method: 'svd'},
      {method: 'eigen', center: true},
      {method: 'kqSvd', ropeMode: 'after'},
      {method: 'kqSvd', ropeMode: 'after', center: true},
      {method: 'kqSvd', center: true, distances: 'uniform'},
    ];
    for (const options of modes) {
      it(`${JSON.stringify(options)}: at full rank the dense logits, at any rank the same with a cache`, async () => {
        const whole = await compress(model, calibration, {...options, ratio: 1});
        await expectClose(await logitsOf(whole.model), dense, 1e-3);
        const {
          model: low,
          storedNumbers,
          denseNumbers,
        } = await compress(model, calibration, {
          ...options,
          ranks: {keys: [3, 5], values: [4, 2]},
        });
        expect(storedNumbers / denseNumbers).to.be.closeTo(14 / 32, 1e-12);
        const cache = new KVCache(low);
        const alone = await logitsOf(low);
        await expectClose(await logitsOf(low, cache), alone, 1e-4);
        const error = (logits: ArrayLike<number>) =>
          Math.max(...Array.from(logits, (x, i) => Math.abs(x - dense[i]!)));
        expect(error(alone), 'something was lost').to.be.above(1e-3);
        cache.dispose();
        for (const made of [whole.model, low]) made.dispose();
        expect(await logitsOf(model), 'the dense model is as it was').to.deep.equal(dense);
      });
    }

    it('is saved and loaded as any tfjs model', async () => {
      const {model: low} = await compress(model, calibration, {ratio: 0.5, center: true});
      const expected = await logitsOf(low);
      let saved: tf.io.ModelArtifacts | undefined;
      await low.save(
        tf.io.withSaveHandler(artifacts => {
          saved = artifacts;
          return Promise.resolve({modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'}});
        }),
      );
      const again = await tf.loadLayersModel(tf.io.fromMemory(saved!));
      expect(await logitsOf(again)).to.deep.equal(expected);
      for (const made of [low, again]) made.dispose();
    });

    it('predicts the error of values that a sample of the same tokens shows', async () => {
      const {rows, model: low} = await compress(model, calibration, {
        ratio: 0.5,
        text: ids,
        spread: 'uniform',
      });
      for (const {valueError, measured} of rows) {
        expect(measured!.valueError / valueError).to.be.closeTo(1, 1e-3);
        expect(measured!.outputError).to.be.above(0).and.below(1);
      }
      low.dispose();
    });

    it('can be trained, and leaves the dense model alone', async () => {
      const {model: low} = await compress(model, calibration, {ratio: 0.5});
      const optimizer = tf.train.sgd(0.1);
      const before = await logitsOf(low);
      tf.tidy(() => {
        const loss = () =>
          tf.mean<tf.Scalar>(tf.square(low.apply(tf.tensor2d(ids, [1, ids.length], 'int32')) as tf.Tensor));
        optimizer.minimize(loss);
      });
      expect(await logitsOf(low)).not.to.deep.equal(before);
      expect(await logitsOf(model)).to.deep.equal(dense);
      optimizer.dispose();
      low.dispose();
    });

    it('leaks nothing', () =>
      expectNoLeak(async () => {
        const {model: low} = await compress(model, calibration, {ratio: 0.5, text: ids, tokens: 40});
        low.dispose();
      }));
  });
}

describe('compress', () => {
  let model: tf.LayersModel;
  let calibration: Calibration;
  before(async () => {
    await useBackend('wasm');
    model = tinyModel();
    calibration = await calibrate({model}, [ids]);
  });
  after(() => model.dispose());

  it('keeps to its budget, whatever way ranks are found', async () => {
    for (const options of [
      {ratio: 0.4},
      {ratio: 0.4, text: ids},
      {ratio: 0.4, spread: 'uniform'},
      {ratio: 0.4, text: ids, ropeMode: 'after'},
    ] as const) {
      const {model: low, storedNumbers, denseNumbers} = await compress(model, calibration, options);
      expect(storedNumbers, JSON.stringify(options)).to.be.at.most(0.4 * denseNumbers);
      low.dispose();
    }
  });

  it('keeps every depth within an error budget, and takes less where more is allowed', async () => {
    const stored = [];
    for (const errorBudget of [0.05, 0.5]) {
      const {model: low, rows, storedNumbers} = await compress(model, calibration, {errorBudget, text: ids});
      for (const {measured} of rows) expect(measured!.outputError).to.be.at.most(errorBudget);
      stored.push(storedNumbers);
      low.dispose();
    }
    expect(stored[1]).to.be.below(stored[0]!);
  });

  it('has its layers ask for the policies of a plan', async () => {
    const plan = quantized({bits: 4, residual: 0});
    const {model: low, compression} = await compress(model, calibration, {ratio: 0.5, plan});
    expect(compression.cachePolicies).to.have.length(2);
    const cache = new KVCache(low);
    expect(cache.report().map(({policy}) => policy)).to.deep.equal(['quantized', 'quantized']);
    await logitsOf(low, cache);
    expect(cache.past(0)!.held['stored']!.keys).to.include({kind: 'integer', bits: 4});
    for (const each of [cache, low]) each.dispose();
  });

  it('says what is wrong', async () => {
    const run = (options: CompressOptions, of = calibration) => compress(model, of, options);
    const cases: [CompressOptions, RegExp][] = [
      [{ratio: 0}, /ratio = 0/],
      [{ratio: 1.5}, /ratio = 1.5/],
      [{ratio: 0.5, errorBudget: 0.1}, /ratio and errorBudget; give one/],
      [{errorBudget: 0.1}, /measured on a text/],
      [{method: 'fisher'}, /needs gradients, and the calibration has none/],
      [{ranks: {keys: 9, values: 1}}, /ranks.keys has 9.*head's 8/],
      [{method: 'qkSvd' as 'kqSvd'}, /svd, eigen, kqSvd, fisher/],
      [{ratios: 0.5} as CompressOptions, /no option "ratios".*Did you mean "ratio"/],
    ];
    for (const [options, message] of cases) await rejection(run(options), InvalidArgumentError, message);
    await rejection(run({}, {...calibration, fingerprint: 'another'}), ModelError, /Calibrate this model/);
    const few = await calibrate({model}, [ids.slice(0, 3)]);
    await rejection(run({ranks: {keys: 4, values: 2}}, few), InvalidArgumentError, /saw 3 tokens.*rank of 4/);
    const {warnings, model: low} = await run({ranks: {keys: 2, values: 2}}, few);
    expect(warnings.join()).to.match(
      /3 tokens for heads of 8 numbers, so that directions beyond them are arbitrary/,
    );
    await rejection(compress(low, calibration, {}), InvalidArgumentError, /already compressed/);
    await expectFiniteLogits(low);
    low.dispose();
  });

  it('names attention layers that no adapter knows', async () => {
    class StrangeAttention extends tf.layers.Layer {
      static readonly className = 'StrangeAttention';
    }
    const x = tf.input({shape: [4, 8]});
    const strange = tf.model({
      inputs: x,
      outputs: new StrangeAttention({name: 'odd_one'}).apply(x) as tf.SymbolicTensor,
    });
    await rejection(calibrate({model: strange}, [ids]), ModelError, /"odd_one" \(StrangeAttention\)/);
    const none = tf.sequential({layers: [tf.layers.dense({units: 1, inputShape: [2]})]});
    await rejection(calibrate({model: none}, [ids]), ModelError, /no attention layer/);
  });
});

async function expectFiniteLogits(model: tf.LayersModel): Promise<void> {
  expect(Array.from(await logitsOf(model)).every(Number.isFinite)).to.equal(true);
}

describe('the embedded model, compressed', () => {
  let loaded: LoadedModel;
  let sample: number[];
  let calibration: Calibration;
  before(async () => {
    await useBackend('wasm');
    loaded = await loadModel();
    sample = loaded.tokenizer.encode(await embeddedText('heldOut')).slice(0, 150);
    calibration = await calibrate(loaded, [sample]);
  });
  after(() => loaded.dispose());

  it('real features: ||K A (Q B)^T - K Q^T||_F is the predicted tail, to 1e-4', async () => {
    const attentions = denseAttentions(loaded.model);
    const seen: {keys: Float32Array; queries: Float32Array}[] = [];
    await watchFeatures(loaded.model, attentions, sample, {
      chunk: sample.length,
      watcher: {
        see(depth, {queries, keys}) {
          seen[depth] = {
            keys: keys.dataSync<'float32'>().slice(),
            queries: queries.dataSync<'float32'>().slice(),
          };
        },
      },
    });
    const [dim, tokens, head, group] = [64, sample.length, 1, 2];
    for (const depth of [0, 4, 8]) {
      const keys = seen[depth]!.keys.slice(head * tokens * dim, (head + 1) * tokens * dim);
      const queries = seen[depth]!.queries.slice(
        head * group * tokens * dim,
        (head + 1) * group * tokens * dim,
      );
      const gramOf = (x: Float32Array) =>
        multiply64(transpose64(x, x.length / dim, dim), x, dim, x.length / dim, dim);
      const exact = {keys: gramOf(keys), queries: gramOf(queries)};
      const basis = keyBasis('kqSvd', exact, dim, {ridge: 1e-9});
      const {grams} = calibration.depths[depth]!; // float32 sums of the backend: good for errors down to 1e-3
      const ofHead = (side: Float64Array) => side.slice(head * dim * dim, (head + 1) * dim * dim);
      const summed = {keys: ofHead(grams.keys!), queries: ofHead(grams.queries!)};
      const predicted = keyBasis('kqSvd', summed, dim, {ridge: 1e-9});
      for (const rank of [8, 24, 40]) {
        const first = (rows: Float64Array) => transpose64(rows.subarray(0, rank * dim), rank, dim);
        const latents = multiply64(keys, first(basis.encode), tokens, dim, rank);
        const met = multiply64(queries, first(basis.decode), group * tokens, dim, rank);
        const difference = scores(latents, met, rank);
        scores(keys, queries, dim).forEach((x, i) => (difference[i]! -= x));
        const measured = difference.reduce((sum, x) => sum + x * x, 0);
        const share = (errors: Float64Array) => Math.sqrt(measured / errors[rank]!);
        expect(share(basis.errors), `depth ${depth}, rank ${rank}`).to.be.closeTo(1, 1e-4);
        if (measured > 1e-4 * basis.errors[0]!) expect(share(predicted.errors)).to.be.closeTo(1, 1e-2);
      }
    }

    function scores(a: ArrayLike<number>, b: ArrayLike<number>, inner: number): Float64Array {
      const rows = b.length / inner;
      return multiply64(a, transpose64(b, rows, inner), tokens, inner, rows);
    }
  });

  it('gradients predict the divergence; ranks by them cost less than equal ones', async () => {
    const withGradients = await calibrate(loaded, [sample], {gradientTokens: sample.length});
    const compressed = [];
    for (const [name, options] of Object.entries<CompressOptions>({
      svd: {method: 'svd', ratio: 0.75, spread: 'uniform'},
      uniform: {ratio: 0.4, spread: 'uniform'},
      waterFilled: {ratio: 0.4},
    })) {
      const {model} = await compress(loaded, withGradients, options);
      compressed.push({name, model});
    }
    const {rows} = await evaluate(loaded, sample, {compared: compressed});
    const [, svd, uniform, waterFilled] = rows.map(({klDivergence}) => klDivergence);
    const {bases} = await prepare(loaded.model, withGradients, {
      keyMethod: 'svd', // directions that know nothing of these gradients
      valueMethod: 'svd',
      ropeMode: 'before',
      distances: 'falling',
      center: false,
      ridge: 1e-3,
    });
    const predicted = costedSides(bases)!.reduce((sum, {errors}) => sum + errors[48]!, 0);
    expect(svd! / predicted, 'measured over predicted').to.be.within(0.5, 2);
    expect(waterFilled!).to.be.below(0.8 * uniform!);
    for (const {model} of compressed) model.dispose();
  });

  it('is saved as a folder that loadModel reads, and refused where its config is wrong', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'eigenkv-compressed-'));
    const inputIds = tf.tensor2d(sample.slice(0, 30), [1, 30], 'int32');
    for (const ropeMode of ['before', 'after'] as const) {
      const {model, compression} = await compress(loaded, calibration, {
        ratio: 0.5,
        ropeMode,
        center: true,
        plan: quantized({bits: 4}),
      });
      await saveModel({...loaded, model, config: {...loaded.config, compression}}, folder);
      const again = await loadModel(folder);
      expect(again.config.compression).to.deep.equal(compression);
      const [expected, actual] = [model, again.model].map(each => each.apply(inputIds) as tf.Tensor);
      await expectClose(actual!, expected!, 0);
      expect(new KVCache(again.model).report()[0]!.policy).to.equal('quantized');
      tf.dispose([expected!, actual!]);
      again.dispose();
      model.dispose();
    }
    inputIds.dispose();
    const path = join(folder, 'config.json');
    const config = JSON.parse(await readFile(path, 'utf8'));
    const change = async (changed: object, message: RegExp) => {
      const compression = {...config.eigenkv_compression, ...changed};
      await writeFile(path, JSON.stringify({...config, eigenkv_compression: compression}));
      await rejection(loadModel(folder), ModelError, message);
    };
    await change({version: 2}, /newer eigenkv.*version 2/s);
    await change({key_ranks: [1]}, /key_ranks = \[1\]; expected 9 ranks/);
    await change({value_ranks: Array(9).fill(65)}, /value_ranks/);
    await change({rope_mode: 'behind'}, /rope_mode/);
    await change({rope_mode: 'before'}, /k_basis|should be/);
    await rm(folder, {recursive: true});
  });
});
