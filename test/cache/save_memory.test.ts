import type {Spec} from '../../base/options.js';
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache, makePolicy} from '../../cache/index.js';
import {tensorsOfPast} from '../../cache/past/past.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {randomFloats} from '../support/random.js';

// What `save` takes of the host's memory, measured where a tensor was read and where its copy without spare room was made: the
// snapshot, that tensor and that copy. A policy for each codec.

const layerShape = {depth: 0, heads: 2, kvHeads: 2, dim: 64, dimV: 64};
const tokens = 3000;
/** Objects of JavaScript beside the numbers. */
const little = 2 ** 16;

const policies: Readonly<Record<string, Spec>> = {
  dense: {name: 'full'},
  integer: {name: 'quantized', options: {bits: 4}},
  float8: {name: 'float8'},
  lowRank: {name: 'onlineSvd', options: {rank: 16}},
  'lowRank of integer latents': {name: 'layered', options: {longTermRank: 16, longTermBits: 8}},
  'dense, scores and positions': {name: 'h2o', options: {heavyBudget: 700, recentBudget: 300}},
};

describe('the host memory of save', () => {
  let collect: (options?: {type: 'minor'}) => void;
  before(async () => {
    await useBackend('wasm');
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as typeof collect;
  });

  for (const [name, policy] of Object.entries(policies)) {
    it(`is the snapshot, a tensor and its copy for ${name}`, async () => {
      const cache = filled(policy);
      const largest = Math.max(...tensorsOfPast(cache.past(0)!).map(({size}) => 4 * size));
      const {taken, bytes, samples} = await watched(() => cache.save());
      expect(samples).to.be.above(4);
      expect(taken, 'measured at all').to.be.above(bytes / 2);
      expect(taken).to.be.at.most(bytes + 2 * largest + little);
      cache.dispose();
    });
  }

  it('would show additional copies', async () => {
    const cache = filled(policies['dense']!);
    const kept: unknown[] = [];
    const largest = Math.max(...tensorsOfPast(cache.past(0)!).map(({size}) => 4 * size));
    const {taken, bytes} = await watched(async () => {
      for (const tensor of tensorsOfPast(cache.past(0)!)) kept.push(await tensor.data());
      return cache.save();
    });
    expect(taken).to.be.above(bytes + 2 * largest + little);
    cache.dispose();
  });

  /** The most that arrays took while `run` ran, beyond what was there before. */
  async function watched(run: () => Promise<Uint8Array>) {
    const live = () => {
      collect();
      collect({type: 'minor'}); // the first hands arrays to a thread that frees them, and any after it waits for that
      return process.memoryUsage().arrayBuffers;
    };
    await new Promise(setImmediate); // what the test before awaited is let go
    const before = live();
    let [taken, samples] = [0, 0];
    const sample = () => {
      taken = Math.max(taken, live() - before);
      samples++;
    };
    // where a tensor was read, and while its rows move together in the copy
    const restore = [
      replaced(
        tf.Tensor.prototype,
        'data',
        original =>
          async function (this: tf.Tensor) {
            const numbers = await original.call(this);
            sample();
            return numbers;
          } as typeof original,
      ),
      replaced(
        Object.getPrototypeOf(Float32Array.prototype) as Float32Array,
        'copyWithin',
        original =>
          function (this: Float32Array, ...args: [number, number, number?]) {
            sample();
            return original.apply(this, args);
          },
      ),
    ];
    try {
      const bytes = await run();
      sample();
      return {taken, bytes: bytes.byteLength, samples};
    } finally {
      for (const put of restore) put();
    }
  }
});

/** Puts another method in the place of one, and gives what puts it back. */
function replaced<T extends object, Name extends keyof T>(
  owner: T,
  name: Name,
  make: (original: T[Name]) => T[Name],
): () => void {
  const original = owner[name];
  owner[name] = make(original);
  return () => {
    owner[name] = original;
  };
}

/** A cache of one depth with tokens one by one behind a prompt, so that buffers have spare room. */
function filled(policy: Spec): KVCache {
  const cache = new KVCache([layerShape], makePolicy(policy));
  for (const [seed, count] of [tokens, 1, 1].entries()) {
    tf.tidy(() => {
      const side = (part: number) =>
        tf.tensor4d(randomFloats(3 * seed + part, layerShape.heads * count * layerShape.dim), [
          1,
          layerShape.heads,
          count,
          layerShape.dim,
        ]);
      void cache.attend(0, {queries: side(0), keys: side(1), values: side(2)});
    });
  }
  return cache;
}
