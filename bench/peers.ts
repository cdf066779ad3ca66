import {createRequire} from 'node:module';
import {join} from 'node:path';
import {pathToFileURL} from 'node:url';
import type {Row} from './support/row.js';

/** What is used of node-llama-cpp 3, which this package does not depend on. */
interface LlamaModule {
  getLlama(options: {gpu: false; maxThreads: number; build: 'never'}): Promise<{
    loadModel(options: {modelPath: string; gpuLayers: 0}): Promise<{
      createContext(options: LlamaContextOptions): Promise<{
        getSequence(): LlamaSequence;
        dispose(): Promise<void>;
      }>;
      dispose(): Promise<void>;
    }>;
  }>;
}

interface LlamaContextOptions {
  readonly contextSize: number;
  readonly threads: number;
  readonly flashAttention: true;
  readonly experimentalKvCacheKeyType: string;
  readonly experimentalKvCacheValueType: string;
}

interface LlamaSequence {
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
}

const cacheTypes = {f16: 'F16', q8_0: 'Q8_0', q4_0: 'Q4_0'} as const;

/**
 * llama.cpp on one thread with flash attention, the same GGUF file, caches of three types.
 *
 * @param folder where node-llama-cpp is installed (`npm install node-llama-cpp` there).
 * @returns the rows, or why there are none.
 */
export async function llamaRows(
  folder: string,
  gguf: string,
  tokens: number,
  rounds: number,
): Promise<Row[] | string> {
  const llamaModule = await importFrom(folder, 'node-llama-cpp');
  if (typeof llamaModule === 'string') return llamaModule;
  const llama = await (llamaModule as LlamaModule).getLlama({gpu: false, maxThreads: 1, build: 'never'});
  const model = await llama.loadModel({modelPath: gguf, gpuLayers: 0});
  const rows: Row[] = [];
  for (const [name, type] of Object.entries(cacheTypes)) {
    const context = await model.createContext({
      contextSize: tokens + 256,
      threads: 1,
      flashAttention: true,
      experimentalKvCacheKeyType: type,
      experimentalKvCacheValueType: type,
    });
    const sequence = context.getSequence();
    await sequence.evaluateWithoutGeneratingNewTokens(
      Array.from({length: tokens}, (_, i) => 100 + (i % 997)),
    );
    const times: number[] = [];
    for (let step = 0; step < rounds * 2; step++) {
      const start = performance.now();
      await sequence.evaluateWithoutGeneratingNewTokens([100 + step]);
      times.push(performance.now() - start);
    }
    const ms = times.sort((a, b) => a - b)[times.length >> 1]!;
    rows.push({op: 'model', backend: 'llama.cpp', codec: name, shape: 'peer', tokens, ms});
    await context.dispose();
  }
  await model.dispose();
  return rows;
}

async function importFrom(folder: string, name: string): Promise<object | string> {
  let path: string;
  try {
    path = createRequire(join(folder, 'package.json')).resolve(name);
  } catch {
    return `${name} is not installed in ${folder}: left out. (npm install ${name} in any folder, then --peers FOLDER.)`;
  }
  return (await import(pathToFileURL(path).href)) as object;
}
