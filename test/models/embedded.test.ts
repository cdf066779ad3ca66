import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {readFile} from 'node:fs/promises';
import {KVCache} from '../../cache/index.js';
import {embeddedText} from '../../models/embedded_model.js';
import {loadModel} from '../../models/load.js';
import type {LoadedModel} from '../../models/loaded_model.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {expectClose} from '../support/tensors.js';
import {asBatch, logitsOf, meanNll} from './architectures/tiny_models.js';

interface Text {
  readonly text: string;
  readonly ids: number[];
  readonly meanNll: number;
  readonly lastLogits: number[];
  readonly logits: readonly {readonly position: number; readonly values: number[]}[];
}

interface Golden extends Text {
  readonly long: Text;
  readonly prompt: string;
  readonly promptIds: number[];
  readonly greedyIds: number[];
  readonly greedyText: string;
}

describe('the embedded model on wasm', () => {
  let loaded: LoadedModel;
  let golden: Golden;

  before(async () => {
    await useBackend('wasm');
    loaded = await loadModel();
    const path = new URL('../../models/embedded/golden.json', import.meta.url);
    golden = JSON.parse(await readFile(path, 'utf8')) as Golden;
  });
  after(() => loaded.dispose());

  it('is what its README says', () => {
    expect(loaded.name).to.equal('embedded');
    expect(loaded.model.countParams()).to.equal(4378176);
    expect(loaded.config).to.deep.include({depths: 9, dim: 192, heads: 4, kvHeads: 2, headDim: 64});
    expect(loaded.tokenizer.vocabSize).to.equal(2048);
  });

  it('is loaded by its name, and by its source', async () => {
    expect(loaded.source).to.equal('embedded');
    using again = await loadModel('embedded');
    expect(again.config).to.deep.equal(loaded.config);
  });

  for (const [name, textOf] of [
    ['200 tokens', (all: Golden): Text => all],
    ['900 tokens', (all: Golden): Text => all.long],
  ] as const) {
    it(`gives JAX's logits for ${name}`, async () => {
      const {text, ids, lastLogits, logits, meanNll: nll} = textOf(golden);
      expect(loaded.tokenizer.encode(text).slice(0, ids.length)).to.deep.equal(ids);
      const all = await logitsOf(loaded.model, ids);
      const at = (position: number) => Array.from({length: 2048}, (_, i) => all[position * 2048 + i]!);
      await expectClose(at(ids.length - 1), lastLogits, 1e-3);
      expect(meanNll(all, ids)).to.be.closeTo(nll, 1e-5);
      for (const {position, values} of logits) await expectClose(at(position), values, 1e-3);
    });
  }

  it('writes the greedy text through a cache', async () => {
    const cache = new KVCache(loaded.model);
    const ids: number[] = [];
    let next = loaded.tokenizer.encode(golden.prompt);
    expect(next).to.deep.equal(golden.promptIds);
    while (ids.length < golden.greedyIds.length) {
      const best = tf.tidy(() => {
        const logits = loaded.model.apply(asBatch(next), {cache, lastTokenOnly: true}) as tf.Tensor;
        return tf.argMax(logits, -1);
      });
      next = Array.from(await best.data());
      best.dispose();
      ids.push(...next);
    }
    cache.dispose();
    expect(ids).to.deep.equal(golden.greedyIds);
    expect(loaded.tokenizer.decode([...golden.promptIds, ...ids])).to.equal(golden.greedyText);
  });

  it('comes with texts to measure and to calibrate on', async () => {
    const [heldOut, trainSample] = await Promise.all([embeddedText('heldOut'), embeddedText('trainSample')]);
    expect(loaded.tokenizer.encode(heldOut)).to.have.length(37644);
    expect(trainSample.length).to.be.greaterThan(175_000);
    expect(trainSample.includes(heldOut.slice(0, 200))).to.equal(false);
  });
});
