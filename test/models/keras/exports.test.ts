import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {readFileSync} from 'node:fs';
import {KVCache, quantized} from '../../../cache/index.js';
import {attachCache, calibrate, compress, generate, loadKerasModel} from '../../../models/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {describeOnBackends} from '../../support/backends.js';
import {goldenTensor} from '../../support/golden.js';
import {inputsOf, kerasExports, kerasGolden, pathOf, savedArtifacts} from '../../support/keras_exports.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

/** Causal, and of one input. */
const decoders = kerasExports.filter(name => /^(mha|gqa)/.test(name));
const unmasked = ['mha_2', 'mha_3', 'gqa_3'];
const prompt = [3, 17, 5];

async function predicted(model: tf.LayersModel, name: string, tolerance = 1e-5): Promise<void> {
  const golden = kerasGolden(name);
  const inputs = inputsOf(golden);
  const [output, expected] = [model.predict(inputs) as tf.Tensor, goldenTensor(golden.output)];
  await expectClose(output, expected, tolerance, name);
  tf.dispose([inputs, output, expected]);
}

/** Logits of a batch that comes in steps. */
function stepped(model: tf.LayersModel, x: tf.Tensor, steps: readonly number[], cache: KVCache): tf.Tensor {
  return tf.tidy(() => {
    let from = 0;
    const parts = steps.map(count => {
      from += count;
      return model.apply(tf.slice(x, [0, from - count], [-1, count]), {cache}) as tf.Tensor;
    });
    return tf.concat(parts, 1);
  });
}

/** The most probable continuation, without a cache. */
async function greedy(model: tf.LayersModel, tokens: number): Promise<number[]> {
  const ids = [...prompt];
  for (let i = 0; i < tokens; i++) {
    const next = tf.tidy(() => {
      const logits = model.apply(tf.tensor2d([ids], undefined, 'int32')) as tf.Tensor3D;
      return tf.argMax(tf.slice(logits, [0, ids.length - 1], [1, 1]), 2);
    });
    ids.push((await next.data())[0]!);
    next.dispose();
  }
  return ids;
}

describeOnBackends('models exported by Keras', () => {
  for (const name of kerasExports) {
    it(`${name}: what Keras gives`, async () => {
      const model = await loadKerasModel(pathOf(name));
      await predicted(model, name);
      model.dispose();
    });
  }

  for (const name of unmasked) {
    it(`${name}: the same with a cache, in any steps`, async () => {
      const model = await loadKerasModel(pathOf(name));
      const {inputs, output} = kerasGolden(name);
      const [x, expected] = [goldenTensor(inputs[0]!, 'int32'), goldenTensor(output)];
      for (const steps of [[7], [4, 1, 2], [1, 1, 1, 1, 1, 1, 1]]) {
        const cache = new KVCache(model);
        const logits = stepped(model, x, steps, cache);
        await expectClose(logits, expected, 1e-5, steps.join());
        logits.dispose();
        cache.dispose();
      }
      tf.dispose([x, expected]);
      model.dispose();
    });
  }
});

describe('models exported by Keras: what else they do', () => {
  before(() => useBackend('wasm'));

  it('hold exports of both versions of Keras', () => {
    expect(decoders.filter(name => name.endsWith('2')).length).to.be.above(2);
    expect(decoders.filter(name => name.endsWith('3')).length).to.be.above(5);
  });

  for (const name of unmasked) {
    it(`${name}: generates the same with a cache as without`, async () => {
      const model = await loadKerasModel(pathOf(name));
      const expected = await greedy(model, 20);
      for (const cache of [new KVCache(model), await attachCache(model)]) {
        const ids = [...prompt];
        for await (const id of generate(model, prompt, {cache, tokens: 20})) ids.push(id);
        expect(ids).to.deep.equal(expected);
        cache.dispose();
      }
      model.dispose();
    });

    it(`${name}: its cache may be compressed`, async () => {
      const model = await loadKerasModel(pathOf(name));
      const ids = Array.from({length: 24}, (_, i) => (7 * i * i + 3 * i) % 20);
      const x = tf.tensor2d([ids], undefined, 'int32');
      const expected = model.predict(x) as tf.Tensor;
      const errors: number[] = [];
      for (const bits of [8, 2] as const) {
        const cache = new KVCache(model, quantized({bits, groupSize: 4, residual: 0, sinks: 0}));
        const logits = stepped(model, x, [16, 1, 1, 1, 1, 4], cache);
        const error = tf.tidy(() => tf.max(tf.abs(tf.sub(logits, expected))));
        errors.push((await error.data())[0]!);
        tf.dispose([logits, error]);
        cache.dispose();
      }
      expect(errors[0]).to.be.below(0.2).and.above(1e-5);
      expect(errors[1]).to.be.above(errors[0]!);
      tf.dispose([x, expected]);
      model.dispose();
    });
  }

  for (const name of kerasExports) {
    it(`${name}: is the same when saved and loaded again, by either loader`, async () => {
      const model = await loadKerasModel(pathOf(name));
      const artifacts = await savedArtifacts(model);
      model.dispose();
      for (const load of [tf.loadLayersModel, loadKerasModel]) {
        const again = await load(tf.io.fromMemory(artifacts));
        await predicted(again, name);
        if (unmasked.includes(name)) {
          const cache = new KVCache(again);
          for await (const id of generate(again, prompt, {cache, tokens: 3})) expect(id).to.be.a('number');
          cache.dispose();
        }
        again.dispose();
      }
    });
  }

  for (const name of ['mha_2', 'mha_masks_2', 'mha_after_2']) {
    it(`${name}: tf.loadLayersModel reads it as it is`, async () => {
      const json = JSON.parse(readFileSync(`${pathOf(name)}/model.json`, 'utf8')) as tf.io.ModelJSON;
      const weights = readFileSync(`${pathOf(name)}/group1-shard1of1.bin`);
      const artifacts = await tf.io.getModelArtifactsForJSON(json, manifest =>
        Promise.resolve([manifest.flatMap(({weights: specs}) => specs), new Uint8Array(weights).buffer]),
      );
      const model = await tf.loadLayersModel(tf.io.fromMemory(artifacts));
      await predicted(model, name);
      model.dispose();
    });
  }

  it('a batch of texts without padding takes a cache, for all that its embedding masks', async () => {
    for (const name of ['mha_masks_3', 'gqa_masks_3', 'mha_masks_2']) {
      const model = await loadKerasModel(pathOf(name));
      const x = tf.tensor2d([[3, 17, 5, 9, 12, 8, 1]], undefined, 'int32');
      const cache = await attachCache(model);
      const [whole, parts] = [model.predict(x) as tf.Tensor, stepped(model, x, [4, 1, 2], cache)];
      await expectClose(parts, whole, 1e-5);
      tf.dispose([x, whole, parts]);
      cache.dispose();
      model.dispose();
    }
  });

  it('without masks of embeddings the id 0 is a token', async () => {
    const [masked, whole] = await Promise.all([
      loadKerasModel(pathOf('mha_masks_3')),
      loadKerasModel(pathOf('mha_masks_3'), {maskZero: false}),
    ]);
    const x = tf.tensor2d([[0, 17, 5, 0, 12]], undefined, 'int32');
    const cache = new KVCache(whole);
    const [expected, parts, other] = [
      whole.predict(x) as tf.Tensor,
      stepped(whole, x, [3, 2], cache),
      masked.predict(x) as tf.Tensor,
    ];
    await expectClose(parts, expected, 1e-5);
    const difference = tf.tidy(() => tf.max(tf.abs(tf.sub(other, expected))));
    expect((await difference.data())[0]).to.be.above(0.01);
    tf.dispose([x, expected, parts, other, difference]);
    cache.dispose();
    masked.dispose();
    whole.dispose();
  });

  it('train: the loss of a text falls, with dropout and padding', async () => {
    await useBackend('cpu'); // wasm has no gradient of embeddings
    const model = await loadKerasModel(pathOf('gqa_masks_3'));
    const loss = (y: tf.Tensor, logits: tf.Tensor) => tf.losses.softmaxCrossEntropy(y, logits);
    model.compile({optimizer: tf.train.adam(0.01), loss});
    const x = tf.tensor2d([[3, 17, 5, 9, 12, 0, 0]], undefined, 'int32');
    const y = tf.oneHot(tf.tensor2d([[17, 5, 9, 12, 1, 0, 0]], undefined, 'int32'), 20);
    const {history} = await model.fit(x, y, {epochs: 20});
    const losses = history['loss'] as number[];
    expect(losses.at(-1)).to.be.below(losses[0]! * 0.7);
    tf.dispose([x, y]);
    model.dispose();
    await useBackend('wasm');
  });

  it('are compressed: at full rank they give the same', async () => {
    for (const name of unmasked) {
      const model = await loadKerasModel(pathOf(name));
      const ids = Array.from({length: 60}, (_, i) => (7 * i * i + 3 * i) % 20);
      const {model: small} = await compress(model, await calibrate({model}, [ids], {window: 30}), {ratio: 1});
      await predicted(small, name, 1e-4);
      small.dispose();
      model.dispose();
    }
  });

  it('leave nothing in memory', async () => {
    await expectNoLeak(async () => {
      const model = await loadKerasModel(pathOf('options_3'));
      await predicted(model, 'options_3');
      model.dispose();
    });
  });
});
