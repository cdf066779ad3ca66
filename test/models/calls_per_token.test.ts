import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {type LoadedModel, loadModel} from '../../models/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {asBatch} from './architectures/tiny_models.js';

/** The kernels that tfjs runs for one more token, and how often. */
async function callsOfToken({model}: LoadedModel, plan: string): Promise<Record<string, number>> {
  const cache = new KVCache(model, plan);
  const apply = (ids: readonly number[]) =>
    tf.tidy(() => void model.apply(asBatch(ids), {cache, lastTokenOnly: true}));
  apply(Array.from({length: 150}, (_, i) => 5 + i)); // enough that `quantized` holds codes
  const {kernels} = await tf.profile(() => {
    apply([7]);
    return [];
  });
  cache.dispose();
  const calls: Record<string, number> = {};
  for (const {name} of kernels) calls[name] = (calls[name] ?? 0) + 1;
  return calls;
}

describe('a token on wasm', () => {
  before(() => useBackend('wasm'));

  for (const weights of ['float32', 'packed8', 'packed4'] as const) {
    it(`takes eight calls of tfjs per depth and four besides, with ${weights} weights`, async () => {
      using model = await loadModel('embedded', {weights});
      const {depths} = model.config;
      const head: Record<string, number> = weights === 'float32' ? {EigenkvLmHead: 1} : {};
      for (const plan of ['full', 'quantized']) {
        expect(await callsOfToken(model, plan), plan).to.deep.equal({
          EigenkvEmbed: 1,
          EigenkvRmsNorm: 2 * depths + 1,
          EigenkvLinear: 3 * depths + 1 - (head['EigenkvLmHead'] ?? 0),
          EigenkvRotate: depths,
          EigenkvAttendSegments: depths,
          EigenkvSwigluLinear: depths,
          Identity: 1, // the selection of the last token, of one
          ...head,
        });
      }
    });
  }
});
