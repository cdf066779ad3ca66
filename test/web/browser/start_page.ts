import * as tf from '@tensorflow/tfjs';
import {KVCache, quantized} from '../../../cache/index.js';
import {type BackendName, type BackendOptions, useBackend} from '../../../ops/backends/use_backend.js';
import {threadCount} from '../../../ops/backends/heap_threads.js';
import {hasKernel} from '../../../ops/run_op.js';
import {splitting} from '../../../ops/threads/index.js';
import {randomFloats} from '../../support/random.js';

// The page that start.browser.ts opens, and the worker that it can run in.

/** What became of a start. */
export interface Start {
  readonly error?: {readonly name: string; readonly message: string};
}

/** What a cache of codes computed. */
export interface Computed {
  readonly fused: boolean;
  readonly sharedMemory: boolean;
  readonly threads: number;
  readonly outputs: number[];
}

declare global {
  function start(name: BackendName, options?: BackendOptions): Promise<Start>;
  function compute(): Computed;
  /** Both, in a worker. */
  function startAndComputeInWorker(name: BackendName, options?: BackendOptions): Promise<Start & Computed>;
}

splitting.leastWork = 1; // threads share work that is too little to be worth it

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
    threads: threadCount(),
    outputs,
  };
};

globalThis.startAndComputeInWorker = async (name, options) => {
  const worker = new Worker(new URL('./start_page.ts', import.meta.url), {type: 'module'});
  const answer = new Promise<Start & Computed>((resolve, reject) => {
    worker.onmessage = ({data}) => resolve(data as Start & Computed);
    worker.onerror = ({message}) => reject(new Error(message));
  });
  worker.postMessage([name, options]);
  return answer.finally(() => worker.terminate());
};

if (!('document' in globalThis)) {
  globalThis.onmessage = async ({data}: MessageEvent<Parameters<typeof start>>) => {
    const started = await start(...data);
    globalThis.postMessage({...started, ...compute()});
  };
}
