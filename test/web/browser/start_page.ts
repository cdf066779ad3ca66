import * as tf from '@tensorflow/tfjs';
import {KVCache, quantized} from '../../../cache/index.js';
import {type BackendName, type BackendOptions, useBackend} from '../../../ops/backends/use_backend.js';
import {hasKernel} from '../../../ops/run_op.js';
import {randomFloats} from '../../support/random.js';

// The page that start.browser.ts opens.

/** What became of a start. */
export interface Start {
  readonly error?: {readonly name: string; readonly message: string};
}

/** What a cache of codes computed. */
export interface Computed {
  readonly fused: boolean;
  readonly sharedMemory: boolean;
  readonly outputs: number[];
}

declare global {
  function start(name: BackendName, options?: BackendOptions): Promise<Start>;
  function compute(): Computed;
}

globalThis.start = async (name, options) => {
  try {
    await useBackend(name, options);
    return {};
  } catch (error) {
    const {name: kind, message} = error as Error;
    return {error: {name: kind, message}};
  }
};

globalThis.compute = () => {
  const cache = new KVCache(
    [{depth: 0, heads: 2, kvHeads: 1, dim: 16, dimV: 16}],
    quantized({bits: 8, groupSize: 8, residual: 4}),
  );
  const random = (seed: number, heads: number, tokens: number) =>
    tf.tensor4d(randomFloats(seed, heads * tokens * 16), [1, heads, tokens, 16]);
  const outputs = [40, 1, 1, 20].flatMap((tokens, i) =>
    tf.tidy(() => {
      const keysAndValues = {keys: random(i + 1, 1, tokens), values: random(i + 2, 1, tokens)};
      return [...cache.attend(0, {queries: random(i, 2, tokens), ...keysAndValues}).dataSync()];
    }),
  );
  cache.dispose();
  const {wasm} = tf.backend() as unknown as {
    wasm?: {wasmMemory?: WebAssembly.Memory; asm: {memory?: WebAssembly.Memory}};
  };
  const buffer = (wasm?.wasmMemory ?? wasm?.asm.memory)?.buffer;
  return {
    fused: hasKernel('Attend'),
    sharedMemory: Object.prototype.toString.call(buffer).includes('Shared'),
    outputs,
  };
};
