import {existsSync} from 'node:fs';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';
import type {Decoder, Engine} from '../model.js';
import {importFrom} from './import_from.js';

/** What is used of node-llama-cpp 3.22, which this package does not depend on. */
interface LlamaModule {
  getLlama(options: {gpu: false; maxThreads: number; build: 'never'; logLevel: 'error'}): Promise<{
    loadModel(options: {modelPath: string; gpuLayers: 0}): Promise<{
      createContext(options: LlamaContextOptions): Promise<{getSequence(): LlamaSequence}>;
    }>;
    dispose(): Promise<void>;
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
  readonly nextTokenIndex: number;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  controlledEvaluate(
    input: readonly [token: number, options: {generateNext: {token: true}}][],
  ): Promise<readonly unknown[]>;
  saveStateToFile(path: string): Promise<unknown>;
  loadStateFromFile(path: string, options: {acceptRisk: true}): Promise<void>;
  eraseContextTokenRanges(ranges: {start: number; end: number}[]): Promise<void>;
}

const cacheTypes = {f16: 'F16', q8_0: 'Q8_0', q4_0: 'Q4_0'} as const;

/**
 * llama.cpp with flash attention, its caches in three types.
 *
 * @param folder where node-llama-cpp is installed (`npm install node-llama-cpp` there).
 * @param files the same model as GGUF, in one or several types of weights. A cache is filled by the first of them and
 *   copied to the others: what is in it does not change llama.cpp's time.
 * @param ids the text; `most` is how many of its tokens will be read at most.
 * @param keep a folder where caches are kept between runs; without one, a temporary folder is used.
 * @param threads how many it runs on.
 * @returns the engine, or why there is none.
 */
export async function openLlama(
  folder: string,
  files: readonly string[],
  ids: readonly number[],
  most: number,
  keep?: string,
  threads = 1,
): Promise<Engine | string> {
  const llamaModule = await importFrom(folder, 'node-llama-cpp');
  if (typeof llamaModule === 'string') return llamaModule;
  const llama = await (llamaModule as LlamaModule).getLlama({
    ...{gpu: false, maxThreads: threads, build: 'never', logLevel: 'error'},
  });
  const sequences: {file: string; codec: string; sequence: LlamaSequence}[] = [];
  for (const file of files) {
    const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
    for (const [codec, type] of Object.entries(cacheTypes)) {
      const context = await model.createContext({
        ...{contextSize: most, threads, flashAttention: true},
        ...{experimentalKvCacheKeyType: type, experimentalKvCacheValueType: type},
      });
      sequences.push({file, codec, sequence: context.getSequence()});
    }
  }
  return {
    decoders: sequences.map(({file, codec, sequence}): Decoder => ({
      ...{backend: 'llama.cpp', codec, shape: basename(file, '.gguf')},
      step: async () => {
        // a token is asked for, since llama.cpp leaves out the logits of a token that is only taken in
        await sequence.controlledEvaluate([[ids[sequence.nextTokenIndex]!, {generateNext: {token: true}}]]);
      },
    })),
    fillTo: async tokens => {
      const states = keep ?? (await mkdtemp(join(tmpdir(), 'eigenkv-llama-')));
      for (const {codec, sequence} of sequences) await fill(sequence, join(states, codec), ids, tokens);
      if (keep === undefined) await rm(states, {recursive: true, force: true});
    },
    dispose: () => llama.dispose(),
  };
}

/** From the state of another sequence, if there is one; it needs the same type, but not the same weights. */
async function fill(
  sequence: LlamaSequence,
  state: string,
  ids: readonly number[],
  tokens: number,
): Promise<void> {
  if (sequence.nextTokenIndex < tokens && existsSync(state)) {
    await sequence.loadStateFromFile(state, {acceptRisk: true});
  }
  const {nextTokenIndex} = sequence;
  if (nextTokenIndex > tokens) await sequence.eraseContextTokenRanges([{start: tokens, end: nextTokenIndex}]);
  if (nextTokenIndex < tokens) {
    await sequence.evaluateWithoutGeneratingNewTokens(ids.slice(nextTokenIndex, tokens));
    await sequence.saveStateToFile(state);
  }
}
