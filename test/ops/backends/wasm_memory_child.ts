import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import {KVCache} from '../../../cache/kv_cache.js';
import {full as fullCache} from '../../../cache/policies/full.js';
import {quantized} from '../../../cache/policies/quantized.js';
import {buildModel} from '../../../models/architectures/index.js';
import {attend} from '../../../ops/attention/attend/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {hasKernel} from '../../../ops/run_op.js';
import {denseEncoding} from '../../support/attention_cases.js';
import {randomFloats} from '../../support/random.js';

// Scenarios of wasm_memory.test.ts. Each prints one line of JSON.

interface WasmModule {
  wasmMemory?: object;
  readonly asm?: {readonly memory: WebAssembly.Memory};
}

const wasmModule = () => (tf.backend() as unknown as {readonly wasm: WasmModule}).wasm;

const random = (seed: number, heads: number, tokens: number) =>
  tf.tensor4d(randomFloats(seed, heads * tokens * 16), [1, heads, tokens, 16]);

/** The memory may not grow any more, and tensors take all that is left. */
async function full(): Promise<object> {
  await useBackend('wasm');
  const rows = [{depth: 0, heads: 2, kvHeads: 1, dim: 16, dimV: 16}];
  const policy = quantized({bits: 8, groupSize: 8, residual: 4});
  const [cache, other] = [new KVCache(rows, policy), new KVCache(rows, policy)];
  const step = (into: KVCache, seed: number, tokens: number) =>
    tf.tidy(() => {
      const fresh = {queries: random(seed, 2, tokens), keys: random(seed + 1, 1, tokens)};
      return into.attend(0, {...fresh, values: random(seed + 2, 1, tokens)}).dataSync();
    });
  [cache, other].forEach(each => step(each, 1, 40));
  const expected = step(other, 4, 5000);

  const memory = (wasmModule().wasmMemory ?? wasmModule().asm!.memory) as WebAssembly.Memory;
  memory.grow = () => {
    throw new RangeError('a faked limit');
  };
  const messages: string[] = [];
  const failing = (run: () => unknown) => {
    try {
      run();
    } catch (error) {
      messages.push(String(error));
    }
  };
  const filling: tf.Tensor[] = [];
  const fill = (numbers: number) => {
    for (;;) filling.push(tf.zeros([numbers]));
  };
  failing(() => fill(1 << 18)); // a MiB each, until there is none
  const before = cache.tokens;
  const {numTensors} = tf.memory();
  failing(() => step(cache, 4, 5000)); // takes more than that
  const leaked = tf.memory().numTensors - numTensors;
  const tokens = [before, cache.tokens];
  tf.dispose(filling);
  const actual = step(cache, 4, 5000);
  return {messages, tokens, leaked, sameAsNever: actual.every((x, i) => x === expected[i])};
}

/** A float32 model runs in a heap that may not grow, beside 5 % of the bytes of its weights, and then in one that may. */
async function weights(): Promise<object> {
  await useBackend('wasm');
  const sizes = {
    vocabSize: 1024,
    contextLength: 64,
    depths: 2,
    dim: 1024,
    heads: 8,
    kvHeads: 4,
    headDim: 128,
  };
  const model = buildModel(
    {
      ...{architecture: 'llama', ...sizes, hiddenDim: 4096, activation: 'silu', normEpsilon: 1e-5},
      ...{rope: {theta: 10000}, tiedEmbeddings: false},
      biases: {queryKeyValue: true, attentionOutput: false, feedForward: false},
    },
    {kernelInitializer: 'glorotUniform'},
  );
  const memory = (wasmModule().wasmMemory ?? wasmModule().asm!.memory) as WebAssembly.Memory;
  const run = () => {
    const cache = new KVCache(model, fullCache());
    const logits = [16, 1, 1, 4].map(tokens =>
      tf.tidy(() => (model.apply(tf.ones([1, tokens], 'int32'), {cache}) as tf.Tensor).dataSync().slice()),
    );
    cache.dispose();
    return logits.flatMap(numbers => [...numbers]);
  };
  const {grow} = memory;
  memory.grow = () => {
    throw new RangeError('a faked limit');
  };
  const filling: tf.Tensor[] = [];
  const block = 1 << 16;
  try {
    for (;;) filling.push(tf.zeros([block / 4]));
  } catch {
    // no room is left
  }
  tf.dispose(filling.splice(-Math.floor((0.05 * 4 * model.countParams()) / block)));
  const logits = run();
  memory.grow = grow;
  tf.dispose(filling);
  const expected = run(); // what XNNPACK cannot allocate, it leaves out
  return {
    megabytes: Math.round((4 * model.countParams()) / 1e6),
    count: logits.length,
    same: logits.every((x, i) => x === expected[i]),
  };
}

/** What may stand between the kernels and tfjs' memory. */
const obstacles: Readonly<Record<string, () => void>> = {
  /** The memory is not at its known place. */
  hidden: () => {
    wasmModule().wasmMemory = {};
  },
  /** It is of a kind that the kernels do not import. */
  unlinkable: () => {
    wasmModule().wasmMemory = new WebAssembly.Memory({initial: 512}); // without a maximum
  },
  /** The page's policy, or the engine, lets nothing more be compiled. */
  forbidden: () => {
    WebAssembly.Module = new Proxy(WebAssembly.Module, {
      construct() {
        throw new WebAssembly.CompileError('code generation disallowed by embedder');
      },
    });
  },
};

/** Kernels that cannot run: an op, and a cache of codes that appends, seals and decodes. */
async function without(obstacle: string): Promise<object> {
  const warnings: string[] = [];
  console.warn = (message: string) => warnings.push(message);
  await tf.setBackend('wasm');
  obstacles[obstacle]!();
  const run = () => {
    const layout = {tokens: 70, scale: 0.25, firstQuery: 60};
    const op = tf.tidy(() =>
      mergePartials([
        attend(random(1, 2, 3), denseEncoding(random(2, 1, 70)), denseEncoding(random(3, 1, 70)), layout),
      ]).dataSync(),
    );
    const rows = [{depth: 0, heads: 2, kvHeads: 1, dim: 16, dimV: 16}];
    const cache = new KVCache(rows, quantized({bits: 8, groupSize: 8, residual: 4}));
    const steps = [40, 1, 1, 20].map((tokens, i) =>
      tf.tidy(() => {
        const fresh = {queries: random(i, 2, tokens), keys: random(i + 1, 1, tokens)};
        return cache.attend(0, {...fresh, values: random(i + 2, 1, tokens)}).dataSync();
      }),
    );
    cache.dispose();
    return [op, ...steps].flatMap(numbers => [...numbers]);
  };
  const [fused, actual] = [hasKernel('Attend'), run()];
  await tf.setBackend('cpu');
  const expected = run();
  const ours = warnings.filter(message => message.startsWith('eigenkv:')); // tfjs has a word to say about Node
  return {warnings: ours, fused, difference: Math.max(...actual.map((x, i) => Math.abs(x - expected[i]!)))};
}

const [scenario = ''] = process.argv.slice(2);
const others: Readonly<Record<string, () => Promise<object>>> = {full, weights};
console.log(JSON.stringify(await (others[scenario]?.() ?? without(scenario))));
