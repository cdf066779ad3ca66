import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache, makePolicy} from '../../cache/index.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {describeOnBackends} from '../support/backends.js';
import {randomFloats} from '../support/random.js';
import {policyVariants, variantName} from './variants.js';

// Keys and values of any size through every policy, by prefill and token by token: outputs stay in the hull of the values, or
// the step is refused by a typed error and the cache is as before. Codecs have bounds of their own: codec_extremes.test.ts.

const layerShape = {depth: 0, heads: 2, kvHeads: 1, dim: 16, dimV: 16};
const [prompt, steps] = [90, 24];
const sizes = [1e-30, 1e-15, 1e15, 1e30];
/** Policies that fold tokens into a low rank add up their squares: see `updateSvd`. */
const folds = ['layered', 'onlineSvd'];

describeOnBackends(
  'numbers of any size',
  () => {
    for (const variant of policyVariants) {
      it(`pass through ${variantName(variant)}, or are refused as a whole`, () => {
        for (const size of sizes) {
          const cache = new KVCache([layerShape], makePolicy(variant));
          if (passThrough(cache, size))
            expect(size > 1e18 && folds.includes(variant.name), `${size}`).to.be.true;
          cache.dispose();
        }
      });
    }
  },
  ['wasm'],
);

/** Whether a step was refused. */
function passThrough(cache: KVCache, size: number): boolean {
  for (let step = 0; step < steps; step++) {
    const before = {tokens: cache.tokens, bytes: cache.byteSize, tensors: tf.memory().numTensors};
    try {
      const output = attended(cache, size, step === 0 ? prompt : 1, step);
      // values lie within 3 sizes, and what a codec of two bits makes of them may lie a range beyond
      expect([...output].every(x => Math.abs(x) <= 9 * size)).to.be.true;
    } catch (error) {
      expect(error).to.be.instanceOf(InvalidArgumentError);
      expect({tokens: cache.tokens, bytes: cache.byteSize, tensors: tf.memory().numTensors}).to.deep.equal(
        before,
      );
      return true;
    }
  }
  return false;
}

function attended(cache: KVCache, size: number, tokens: number, seed: number): Float32Array {
  const side = (heads: number, part: number, factor: number) =>
    randomFloats(4 * seed + part, heads * tokens * layerShape.dim).map(x => x * factor);
  const shape = (heads: number): [number, number, number, number] => [1, heads, tokens, layerShape.dim];
  return tf.tidy(() =>
    cache
      .attend(0, {
        queries: tf.tensor4d(side(2, 1, 1 / size), shape(2)),
        keys: tf.tensor4d(side(1, 2, size), shape(1)),
        values: tf.tensor4d(side(1, 3, size), shape(1)),
      })
      .dataSync<'float32'>(),
  );
}
