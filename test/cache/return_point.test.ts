import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {CacheStateError} from '../../base/errors.js';
import {KVCache, uniformShapes} from '../../cache/index.js';
import {ReturnPoint} from '../../cache/sharing/return_point.js';
import {cachedAttention} from '../../layers/index.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {rejection} from '../base/files/rejection.js';
import {expectClose, expectNoLeak} from '../support/tensors.js';
import {policyVariants} from './variants.js';

const [heads, dim] = [2, 16];
/** Depth 0 has a window. */
const windows = [9, undefined];
const shapes = uniformShapes({depths: 2, heads, headDim: dim}).map((shape, depth) => ({
  ...shape,
  window: windows[depth],
}));

/** One step of both depths, with numbers of the position. */
function step(cache: KVCache, count: number): tf.Tensor {
  return tf.tidy(() => {
    const seed = 3 * cache.tokens + 1;
    const outputs = shapes.map(({window}, depth) => {
      const [queries, keys, values] = [1, 2, 3].map(i =>
        tf.randomNormal<tf.Rank.R4>([1, heads, count, dim], 0, 1, 'float32', 100 * depth + i + seed),
      ) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
      return cachedAttention(queries, keys, values, {cache, depth, window});
    });
    return tf.stack(outputs);
  });
}

describe('a point to return to', () => {
  before(() => useBackend('wasm'));

  for (const {name, options = {}} of policyVariants.filter(({name}) => name !== 'mixed')) {
    it(`is where a cache was, as often as asked (${name} ${JSON.stringify(options)})`, () =>
      expectNoLeak(async () => {
        const cache = new KVCache(shapes, {name, options}, {onWarning: () => undefined});
        for (const count of [20, 1, 1, 12]) step(cache, count).dispose();
        const point = ReturnPoint.of(cache)!;
        const fork = cache.fork();
        const expected = [3, 1, 16, 1].map(count => step(fork, count));
        for (let again = 0; again < 3; again++) {
          for (const [i, count] of [3, 1, 16, 1].entries()) {
            const output = step(cache, count);
            // what is cut and computed again may be stored in other blocks
            if (again === 0) await expectClose(output, expected[i]!, 0);
            output.dispose();
          }
          await point.restore(cache);
          expect(cache.tokens).to.equal(34);
        }
        const [one, other] = [step(cache, 3), step(cache, 1)];
        const ofWindow = (x: tf.Tensor) => tf.tidy(() => tf.gather(x, 0));
        const firsts = [one, other, expected[0]!, expected[1]!].map(ofWindow);
        await expectClose(firsts[0]!, firsts[2]!, 0);
        await expectClose(firsts[1]!, firsts[3]!, 0);
        tf.dispose([...expected, one, other, ...firsts]);
        for (const each of [point, fork, cache]) each.dispose();
      }));
  }

  it('holds only the depths that cannot be cut', () => {
    const cache = new KVCache(shapes, 'full');
    expect(ReturnPoint.of(cache)).to.equal(undefined); // of nothing
    step(cache, 500).dispose();
    const {numBytes} = tf.memory();
    const windowed = cache.report()[0]!.byteSize;
    const point = ReturnPoint.of(cache)!;
    for (let at = 0; at < 100; at++) step(cache, 1).dispose();
    const held = tf.memory().numBytes - numBytes;
    point.dispose();
    expect(held - (tf.memory().numBytes - numBytes)).to.be.at.most(windowed);
    cache.dispose();
    const plain = new KVCache(uniformShapes({depths: 1, heads, headDim: dim}), 'quantized:bits=4');
    tf.tidy(() => {
      const x = tf.ones<tf.Rank.R4>([1, heads, 40, dim]);
      cachedAttention(x, x, x, {cache: plain});
    });
    expect(ReturnPoint.of(plain)).to.equal(undefined);
    plain.dispose();
  });

  it('is refused by a cache with another plan, or that was cut before it', async () => {
    const cache = new KVCache(shapes, 'full');
    step(cache, 7).dispose();
    const point = ReturnPoint.of(cache)!;
    await cache.truncate(6);
    await rejection(point.restore(cache), CacheStateError, /fewer tokens/);
    step(cache, 4).dispose();
    await cache.setPlan('quantized:bits=8');
    await rejection(point.restore(cache), CacheStateError, /another plan/);
    expect(cache.tokens).to.equal(10);
    point.dispose();
    cache.dispose();
  });
});
