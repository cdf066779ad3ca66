import {existsSync} from 'node:fs';
import {mkdtemp, rm} from 'node:fs/promises';
import {createRequire} from 'node:module';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';
import {pathToFileURL} from 'node:url';
import type {Decoder, Engine} from './model.js';

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
 * llama.cpp on one thread with flash attention, its caches in three types.
 *
 * @param folder where node-llama-cpp is installed (`npm install node-llama-cpp` there).
 * @param files the same model as GGUF, in one or several types of weights. A cache is filled by the first of them and
 *   copied to the others: what is in it does not change llama.cpp's time.
 * @param ids the text; `most` is how many of its tokens will be read at most.
 * @param keep a folder where caches are kept between runs; without one, a temporary folder is used.
 * @returns the engine, or why there is none.
 */
export async function openLlama(
  folder: string,
  files: readonly string[],
  ids: readonly number[],
  most: number,
  keep?: string,
): Promise<Engine | string> {
  const llamaModule = await importFrom(folder, 'node-llama-cpp');
  if (typeof llamaModule === 'string') return llamaModule;
  const llama = await (llamaModule as LlamaModule).getLlama({
    ...{gpu: false, maxThreads: 1, build: 'never', logLevel: 'error'},
  });
  const sequences: {file: string; codec: string; sequence: LlamaSequence}[] = [];
  for (const file of files) {
    const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
    for (const [codec, type] of Object.entries(cacheTypes)) {
      const context = await model.createContext({
        ...{contextSize: most, threads: 1, flashAttention: true},
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

/** What is used of onnxruntime-node 1.2x. */
interface OnnxModule {
  readonly InferenceSession: {
    create(
      path: string,
      options: {intraOpNumThreads: number; interOpNumThreads: number; executionMode: 'sequential'},
    ): Promise<OnnxSession>;
  };
  readonly Tensor: new (
    type: 'float32' | 'int32' | 'int64',
    data: Float32Array | Int32Array | BigInt64Array,
    shape: readonly number[],
  ) => OnnxTensor;
}

interface OnnxTensor {
  readonly data: ArrayLike<number>;
}

interface OnnxSession {
  run(
    feeds: Record<string, OnnxTensor>,
    fetches: Record<string, OnnxTensor | null>,
  ): Promise<Record<string, OnnxTensor>>;
}

/**
 * onnxruntime on one thread, with the graph that bench/peers/onnx_decoder.py writes. Its past is of random numbers, since
 * its time does not depend on them.
 *
 * `inPlace`: keys and values are written into buffers that have room. `copied`: each step gives a past that is one token
 * longer, as transformers.js goes on from.
 *
 * @param folder where onnxruntime-node is installed.
 * @param sizes of the model.
 */
export async function openOnnx(
  folder: string,
  file: string,
  {depths, kvHeads, dim}: {depths: number; kvHeads: number; dim: number},
): Promise<Engine | string> {
  const onnx = await importFrom(folder, 'onnxruntime-node');
  if (typeof onnx === 'string') return onnx;
  const {InferenceSession, Tensor} = onnx as OnnxModule;
  const session = await InferenceSession.create(file, {
    ...{intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential'},
  });
  const sides = Array.from({length: depths}, (_, depth) => [`${depth}.key`, `${depth}.value`]).flat();
  let pasts: Record<'inPlace' | 'copied', OnnxTensor[]> = {inPlace: [], copied: []};
  const held = {inPlace: 0, copied: 0};
  const random = (rows: number) => {
    const numbers = Float32Array.from({length: kvHeads * rows * dim}, () => 2 * Math.random() - 1);
    return new Tensor('float32', numbers, [1, kvHeads, rows, dim]);
  };
  const step = async (codec: 'inPlace' | 'copied'): Promise<void> => {
    const tokens = held[codec];
    const past = pasts[codec];
    const results = await session.run(
      {
        ids: new Tensor('int64', BigInt64Array.of(BigInt(100 + (tokens % 997))), [1, 1]),
        lastIndex: new Tensor('int32', Int32Array.of(tokens), [1]),
        total: new Tensor('int32', Int32Array.of(tokens + 1), []),
        ...Object.fromEntries(sides.map((side, i) => [`past.${side}`, past[i]!])),
      },
      {
        logits: null,
        ...Object.fromEntries(
          sides.map((side, i) => [`present.${side}`, codec === 'inPlace' ? past[i]! : null]),
        ),
      },
    );
    if (codec === 'copied') pasts.copied = sides.map(side => results[`present.${side}`]!);
    held[codec] += 1;
  };
  return {
    decoders: (['inPlace', 'copied'] as const).map(codec => ({
      ...{backend: 'onnxruntime', codec, shape: basename(file, '.onnx')},
      step: () => step(codec),
    })),
    fillTo: tokens => {
      pasts = {inPlace: sides.map(() => random(tokens + 256)), copied: sides.map(() => random(tokens))};
      held.inPlace = held.copied = tokens;
      return Promise.resolve();
    },
    dispose: () => Promise.resolve(),
  };
}

async function importFrom(folder: string, name: string): Promise<object | string> {
  let path: string;
  try {
    path = createRequire(join(folder, 'package.json')).resolve(name);
  } catch {
    return `${name} is not installed in ${folder}: left out (npm install ${name} there).`;
  }
  return (await import(pathToFileURL(path).href)) as object;
}
