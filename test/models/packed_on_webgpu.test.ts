import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {formatOf} from '../../ops/weights/packed_variables.js';
import {generateIds} from '../../models/generate/generate_ids.js';
import type {LoadedModel} from '../../models/loaded_model.js';
import {loadModel} from '../../models/load.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {describeOnBackends, testBackends} from '../support/backends.js';
import {randomGgufBytes} from '../support/random_gguf.js';
import {expectNoLeak} from '../support/tensors.js';
import {logitsOf} from './architectures/tiny_models.js';

/** Every packed format, by what a kernel is. */
const dtypes: Readonly<Record<string, string>> = {
  token_embd: 'Q6_K',
  attn_q: 'Q4_K',
  attn_k: 'Q8_0',
  attn_v: 'F16',
  attn_output: 'Q5_1',
  ffn_gate: 'Q4_0',
  ffn_up: 'BF16',
  ffn_down: 'Q4_1',
};

const sizes = {dim: 256, hiddenDim: 512, depths: 2, heads: 4, kvHeads: 2, vocabSize: 300};

/** What a model gives: logits of the prompt, and the tokens that it generates, the most likely ones. */
async function answers(model: LoadedModel) {
  const prompt = model.tokenizer.encode('The sea is salt because');
  const logits = await logitsOf(model.model, prompt);
  const ids: number[] = [];
  for await (const id of generateIds(model, prompt, {tokens: 24, eosIds: []})) ids.push(id);
  return {logits: Float32Array.from(logits), ids};
}

/** What the variables hold: for packed ones, records of 32 bits. */
async function numbersOfWeights({model}: LoadedModel): Promise<number[][]> {
  return Promise.all(model.weights.map(async variable => Array.from(await variable.read().data())));
}

describeOnBackends(
  'a model of packed weights',
  backend => {
    let file: Blob;
    before(async () => {
      const dtypeOf = (tensor: string) => dtypes[tensor.split('.').at(-2)!]!;
      file = new Blob([await randomGgufBytes({...sizes, dtypeOf})]);
    });

    it('generates the same tokens as on wasm, without unpacking', async () => {
      await useBackend('wasm');
      const onWasm = await loadModel(file);
      const expected = await answers(onWasm);
      const stored = await numbersOfWeights(onWasm);
      onWasm.dispose();
      await useBackend(backend);
      const loaded = await loadModel(file);
      const formats = loaded.model.weights.map(formatOf);
      expect(new Set(formats)).to.have.lengthOf(7);
      const {numBytes} = tf.memory();
      const actual = await answers(loaded);
      expect(tf.memory().numBytes - numBytes, 'bytes left behind').to.equal(0);
      expect(await numbersOfWeights(loaded), 'records and vectors').to.deep.equal(stored);
      loaded.dispose();
      // wasm rounds the inputs of products to 16 bits
      const largest = expected.logits.reduce((most, logit) => Math.max(most, Math.abs(logit)), 0);
      expected.logits.forEach((logit, i) => expect(actual.logits[i]).to.be.closeTo(logit, 1e-3 * largest));
      expect(actual.ids).to.deep.equal(expected.ids);
      expect(new Set(actual.ids), 'different tokens').to.have.property('size').above(3);
    });

    it('leaves nothing behind', () =>
      expectNoLeak(async () => {
        const loaded = await loadModel(file);
        await answers(loaded);
        loaded.dispose();
      }));
  },
  testBackends.filter(backend => backend === 'webgpu'),
);
