import {makePolicy} from '../../cache/policies/as_policy.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../cache/kv_cache.js';
import {type BackendName, useBackend} from '../../ops/backends/use_backend.js';
import {BackendError} from '../../base/errors.js';
import {testBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';
import {expectClose} from '../support/tensors.js';
import {type PolicyVariant, policyVariants, variantName} from './variants.js';

const layerShape = {depth: 0, heads: 6, kvHeads: 2, dim: 16, dimV: 16};
const tokens = 48;
/** Tokens come one at a time; a change falls into blocks, buffers with room, and moves. */
const changes = [23, 31, 40];

/** The numbers of a token, made where the backend is now, as a model makes them. */
const make = (heads: number, seed: number) => tf.tensor4d(randomFloats(seed, heads * 16), [1, heads, 1, 16]);

const attend = (cache: KVCache, at: number) =>
  tf.tidy(() =>
    cache.attend(0, {
      queries: make(6, 3 * at),
      keys: make(2, 3 * at + 1),
      values: make(2, 3 * at + 2),
      rope: {theta: 100},
    }),
  );

async function attended(cache: KVCache, at: number): Promise<Float32Array> {
  const output = attend(cache, at);
  const numbers = await output.data<'float32'>();
  output.dispose();
  return numbers;
}

/** Outputs of all tokens on cpu, where the reference is. */
async function reference(variant: PolicyVariant): Promise<Float32Array[]> {
  await useBackend('cpu');
  const cache = new KVCache([layerShape], makePolicy(variant));
  const outputs: Float32Array[] = [];
  for (let at = 0; at < tokens; at++) outputs.push(await attended(cache, at));
  cache.dispose();
  return outputs;
}

const readsAtOnce = ({name, options = {}}: PolicyVariant): boolean =>
  name === 'onlineSvd' || name === 'adaptive' || options['longTermRank'] !== undefined;

for (const from of testBackends) {
  for (const to of testBackends) {
    if (from === to) continue;
    describe(`A live cache on ${from} when the backend becomes ${to}`, () => {
      let former: string | undefined;
      before(() => void (former = tf.getBackend()));
      after(() => tf.setBackend(former ?? 'cpu'));

      const onGpu = [from, to].includes('webgpu');
      for (const variant of policyVariants.filter(each => !onGpu || !readsAtOnce(each))) {
        it(`${variantName(variant)}: ${onGpu ? 'moves, or says why not' : 'continues unchanged'}`, async () => {
          const expected = await reference(variant);
          let current: BackendName = from;
          await useBackend(current);
          const cache = new KVCache([layerShape], makePolicy(variant));
          for (let at = 0; at < tokens; at++) {
            if (changes.includes(at)) {
              const leaves = current;
              current = current === from ? to : from;
              await useBackend(current);
              if (leaves === 'webgpu') {
                // tfjs would read at once; back there, nothing is lost
                expect(() => attend(cache, at)).to.throw(BackendError, /are on webgpu.*save/);
                await useBackend((current = 'webgpu'));
              }
            }
            await expectClose(await attended(cache, at), expected[at]!, 2e-4, `token ${at}`);
          }
          cache.dispose();
        });
      }
    });
  }
}
