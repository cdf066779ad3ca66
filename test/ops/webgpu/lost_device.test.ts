import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../../cache/kv_cache.js';
import {quantized} from '../../../cache/policies/quantized.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {asTfjsWebgpuBackend} from '../../../ops/backends/webgpu_device.js';
import {BackendError} from '../../../base/errors.js';
import {hadamard} from '../../../ops/hadamard/index.js';
import {rejection} from '../../base/files/rejection.js';
import {testBackends} from '../../support/backends.js';
import {randomFloats} from '../../support/random.js';
import {expectClose} from '../../support/tensors.js';
import {skip} from '../../support/skip.js';
import {gpuDevice, loseDevice} from '../../support/gpu_device.js';

const lost =
  /The GPU device was lost \(destroyed: .*useBackend\('webgpu'\) for a new one.*restore the cache/s;

describe('a lost GPU device', function () {
  before(function () {
    if (!testBackends.includes('webgpu')) skip(this, 'no webgpu under test (EIGENKV_TEST_BACKENDS=webgpu)');
  });

  let former: string | undefined;
  beforeEach(async () => {
    former = tf.getBackend();
    await useBackend('webgpu');
    tf.env().set('WEBGPU_CPU_FORWARD', false);
  });
  afterEach(async () => {
    await tf.setBackend(former ?? 'cpu');
  });

  it('is reported by ops of ours, by those of tfjs, and by reading', async () => {
    const x: tf.Tensor4D = tf.tensor4d([1, 2, 3, 4], [1, 1, 1, 4]);
    const y = hadamard(x);
    await loseDevice();
    expect(() => hadamard(x)).to.throw(BackendError, lost);
    expect(() => tf.square(x)).to.throw(BackendError, lost);
    await rejection(y.data(), BackendError, lost);
  });

  it('is reported to code that awaits numbers when it is lost', async () => {
    const y = hadamard(tf.ones<tf.Rank.R4>([1, 1, 64, 64]));
    const reading = y.data();
    const rejected = rejection(reading, BackendError, lost);
    await loseDevice();
    await rejected;
  });

  it('is distinguished from one that ran out of memory, which is reported once', async () => {
    const short = /The GPU ran out of memory \(no room\).*dispose of the cache.*restore/s;
    const runOut = () =>
      gpuDevice().dispatchEvent(
        new GPUUncapturedErrorEvent('uncapturederror', {
          cancelable: true,
          error: new GPUOutOfMemoryError('no room'),
        }),
      );
    const x = tf.ones<tf.Rank.R4>([1, 1, 1, 4]);
    hadamard(x).dispose();
    runOut();
    expect(() => hadamard(x)).to.throw(BackendError, short);
    const y = hadamard(x);
    runOut();
    await rejection(y.data(), BackendError, short);
    await expectClose(hadamard(x), [2, 0, 0, 0], 1e-6);
  });

  it('is replaced by useBackend, and a snapshot of the cache continues on the new one', async () => {
    const rows = [{depth: 0, heads: 2, kvHeads: 1, dim: 16, dimV: 16}];
    const part = (seed: number, heads: number, tokens: number) =>
      tf.tensor4d(randomFloats(seed, heads * tokens * 16), [1, heads, tokens, 16]);
    const step = (cache: KVCache, seed: number, tokens: number) =>
      tf.tidy(() =>
        cache.attend(0, {
          queries: part(seed, 2, tokens),
          keys: part(seed + 1, 1, tokens),
          values: part(seed + 2, 1, tokens),
        }),
      );
    const cache = new KVCache(rows, quantized({bits: 8, groupSize: 8, residual: 4}));
    step(cache, 1, 30).dispose();
    const snapshot = await cache.save();
    const expected = await step(cache, 4, 2).data();

    await loseDevice();
    expect(() => step(cache, 4, 2)).to.throw(BackendError, lost);
    await useBackend('webgpu');
    cache.dispose();
    const restored = await KVCache.restore(snapshot, rows);
    expect(restored.tokens).to.equal(30);
    await expectClose(step(restored, 4, 2), expected, 0);
    restored.dispose();
  });
});

describe('a webgpu backend that hides its programs', () => {
  it('is reported once, and not used', () => {
    const backend = {device: {}, tensorMap: new Map()};
    const warnings: string[] = [];
    const {warn} = console;
    console.warn = (message: string) => warnings.push(message);
    try {
      expect(asTfjsWebgpuBackend(backend)).to.be.undefined;
      expect(asTfjsWebgpuBackend(backend)).to.be.undefined;
    } finally {
      console.warn = warn;
    }
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/shaders are off.*tfjs-backend-webgpu 4\.22/);
  });
});
