import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {readdir} from 'node:fs/promises';
import {existsSync} from 'node:fs';
import {KVCache} from '../../../cache/index.js';
import {architectureOf, architectures} from '../../../models/architectures/index.js';
import {describeOnBackends} from '../../support/backends.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';
import {
  type Golden,
  logitsOf,
  meanNll,
  tinyConfig,
  tinyJson,
  tinyModel,
  tinyModels,
  tinyPath,
} from './tiny_models.js';

// float32 against NumPy's float64; each thing that a loader may get wrong moves a logit by 2e-3 or more
const tolerance = 1e-4;

describeOnBackends('architectures', () => {
  for (const name of tinyModels) {
    const files = ['model.safetensors', 'model.gguf'].filter(file => existsSync(tinyPath(name, file)));
    for (const file of files) {
      it(`${name} from ${file} gives NumPy's logits`, async () => {
        const golden = await tinyJson<Golden>(name, 'golden.json');
        const {model} = await tinyModel(name, file);
        const logits = await logitsOf(model, golden.ids);
        await expectClose(logits, golden.logits.data, tolerance);
        expect(meanNll(logits, golden.ids)).to.be.closeTo(golden.meanNll, 1e-5);
        model.dispose();
      });
    }

    it(`${name} continues a cached text as if it were whole`, async () => {
      const {ids, logits} = await tinyJson<Golden>(name, 'golden.json');
      const {model} = await tinyModel(name);
      const cache = new KVCache(model);
      const chunks = [
        ids.slice(0, 17),
        ids.slice(17, 18),
        ids.slice(18, 31),
        ...ids.slice(31).map(id => [id]),
      ];
      let at = 0;
      for (const chunk of chunks) {
        const expected = logits.data.slice(at * logits.shape[1], (at + chunk.length) * logits.shape[1]);
        await expectClose(await logitsOf(model, chunk, {cache}), expected, tolerance, `from token ${at}`);
        at += chunk.length;
      }
      expect(cache.tokens).to.equal(ids.length);
      cache.dispose();
      model.dispose();
    });
  }

  it('give only the last token’s logits where no others are wanted', async () => {
    for (const name of ['gpt2', 'qwen2']) {
      const {ids, logits} = await tinyJson<Golden>(name, 'golden.json');
      const {model} = await tinyModel(name);
      const last = await logitsOf(model, ids, {lastTokenOnly: true});
      await expectClose(last, logits.data.slice(-logits.shape[1]), tolerance);
      model.dispose();
    }
  });

  it('give each text of a batch what it gets alone', async () => {
    const {model} = await tinyModel('llama_biases');
    const texts = [
      [3, 14, 15, 9],
      [26, 5, 35, 8],
    ];
    const input = tf.tensor2d(texts, [2, 4], 'int32');
    const logits = model.apply(input) as tf.Tensor;
    const alone = await Promise.all(texts.map(ids => logitsOf(model, ids)));
    await expectClose(
      logits,
      alone.flatMap(values => Array.from(values)),
      1e-5,
    );
    tf.dispose([input, logits]);
    model.dispose();
  });

  it('leave no tensor behind', async () => {
    for (const name of ['gpt2', 'llama_rope_llama3', 'qwen2']) {
      await expectNoLeak(async () => {
        const {model} = await tinyModel(name);
        const cache = new KVCache(model);
        await logitsOf(model, [3, 4, 5], {cache});
        cache.dispose();
        model.dispose();
      });
    }
  });
});

describe('the registry', () => {
  it('knows every file of models/architectures', async () => {
    const entries = await readdir(new URL('../../../models/architectures', import.meta.url), {
      withFileTypes: true,
    });
    const files = entries.filter(entry => entry.isFile() && entry.name !== 'index.ts').map(({name}) => name);
    expect(files.map(file => file.replace('.ts', '')).sort()).to.deep.equal(
      Object.keys(architectures).sort(),
    );
  });

  it('names a tensor for each variable, each once, as the hub and as GGUF', async () => {
    for (const name of tinyModels) {
      const config = await tinyConfig(name);
      const {hubWeights, ggufWeights, ggufTypes} = architectureOf(config);
      for (const weights of [hubWeights(config), ...ggufTypes.map(type => ggufWeights(config, type))]) {
        const tensors = weights.map(({tensor}) => tensor);
        const variables = weights.flatMap(stored => stored.variables);
        expect(new Set(tensors).size).to.equal(tensors.length);
        expect(new Set(variables).size).to.equal(variables.length);
      }
    }
  });
});
