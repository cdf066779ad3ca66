/**
 * Kernels on one thread and on several, in turns in one run:
 *
 *     npx tsx bench/threads.ts [--threads 2] [--tokens 8192] [--rounds 7] [--only decode] [--record]
 *     npx tsx bench/threads.ts --model M [--keep FOLDER] [--peers FOLDER] ...   # a token of a whole model
 *
 * Prints the milliseconds of both and their ratio, beside the speed at which as many threads read memory. The shapes are SmolLM2's: 9 heads, 3 key heads
 * of 64 channels, 30 depths whose caches take turns, so that they come from memory; products of 576 and 1,536 numbers.
 */
import {basename} from 'node:path';
import {parseArgs} from 'node:util';
import * as tf from '@tensorflow/tfjs';
import {median} from '../base/statistics.js';
import {causalAttention} from '../ops/attention/causal/index.js';
import {attendSegments} from '../ops/attention/attend/segments.js';
import {useBackend} from '../ops/backends/use_backend.js';
import {eigh} from '../ops/linalg/eigh/index.js';
import {tensorsOf} from '../ops/encodings/encoding.js';
import {splitting} from '../ops/threads/index.js';
import {linears} from '../ops/linear/index.js';
import {lmHead} from '../ops/lm_head/index.js';
import type {WeightFormat} from '../ops/weights/formats.js';
import {type Matrix, isPacked} from '../ops/weights/matrix.js';
import {benchCodecs} from './support/codecs.js';
import {type Engine, openModel, storedWeights} from './model.js';
import {openLlama} from './peers/llama_cpp.js';
import {type Figure, record} from './support/history.js';
import {randomRecords} from './support/random_records.js';
import {sharedMemoryReader} from './support/read_bandwidth.js';

const {values} = parseArgs({
  options: {
    threads: {type: 'string', default: '2'},
    tokens: {type: 'string', default: '8192'},
    rounds: {type: 'string', default: '7'},
    only: {type: 'string'},
    model: {type: 'string'},
    keep: {type: 'string'},
    peers: {type: 'string'}, // where node-llama-cpp is installed
    record: {type: 'boolean', default: false},
  },
});
const [threads, tokens, rounds] = [values.threads, values.tokens, values.rounds].map(Number) as [
  number,
  number,
  number,
];
const [heads, kvHeads, dim, depths] = [9, 3, 64, 30];
const readBytes = 2 ** 28;
/** What each depth multiplies the same rows by: q, k and v; output; gate and up; down. */
const productsOfDepth = [
  {inputs: 576, outputs: [576, 192, 192]},
  {inputs: 576, outputs: [576]},
  {inputs: 576, outputs: [1536, 1536]},
  {inputs: 1536, outputs: [576]},
];

/** A pass over all depths, timed as a whole; what it makes it disposes of. */
interface Task {
  readonly name: string;
  readonly run: () => void | Promise<void>;
  readonly dispose: () => void;
}

await useBackend('wasm', {threads});
const {leastWork} = splitting;
const figures: Figure[] = [];
if (values.model === undefined) await reportKernels();
else await reportModel(values.model);

async function reportKernels(): Promise<void> {
  if (matches('read')) await reportReading();
  for (const make of tasks()) {
    const task = make();
    await report(task);
    task.dispose();
  }
  const subject = `SmolLM2's shapes, ${tokens} tokens, ${threads} threads`;
  if (values.record) await record({what: 'threads', subject, figures});
}

/** One token of a model whose weights are as its file has them, behind 512 tokens and behind `--tokens`. */
async function reportModel(source: string): Promise<void> {
  const {engine, ids} = await openModel(source, storedWeights('asStored'), values.keep);
  const llamas = await Promise.all(
    (values.peers === undefined ? [] : [1, threads]).map(many =>
      openLlama(values.peers!, [source], ids, tokens + 1024, values.keep, many),
    ),
  );
  for (const many of new Set([512, tokens])) {
    await engine.fillTo(many);
    const decoders = engine.decoders
      .map(({codec, step}) => ({name: `${codec}, ${many} tokens`, run: step, dispose: () => undefined}))
      .filter(({name}) => matches(name));
    // JavaScript of a hundred tokens is compiled anew several times
    for (const {run} of decoders) for (let turn = 0; turn < 100; turn++) await run();
    for (const decoder of decoders) await report(decoder);
    await reportLlama(llamas, many);
  }
  for (const each of [engine, ...llamas]) if (typeof each !== 'string') await each.dispose();
  const subject = `${basename(source, '.gguf')}, ${threads} threads`;
  if (values.record) await record({what: 'threads', subject, figures});
}

/** llama.cpp on one and on several threads, in turns. */
async function reportLlama(llamas: readonly (Engine | string)[], many: number): Promise<void> {
  const [one, several] = llamas;
  if (one === undefined || several === undefined) return;
  if (typeof one === 'string' || typeof several === 'string') {
    console.log(`llama.cpp: ${typeof one === 'string' ? one : 'does not start on several threads'}`);
    return;
  }
  await one.fillTo(many);
  await several.fillTo(many);
  for (const [i, {codec, step}] of one.decoders.entries()) {
    if (!matches(`llama.cpp ${codec}`)) continue;
    const times: number[][] = [[], []];
    for (let round = 0; round <= rounds; round++) {
      for (const [which, run] of [step, several.decoders[i]!.step].entries()) {
        await run();
        for (let turn = 0; turn < 3; turn++) times[which]!.push(await millisecondsOf(run));
      }
    }
    show(`llama.cpp ${codec}, ${many} tokens`, times.map(median) as [number, number]);
  }
}

function matches(name: string): boolean {
  return values.only === undefined || values.only.split(',').some(part => name.includes(part));
}

/** Each is made when its turn comes: all together do not fit the heap. */
function* tasks(): Generator<() => Task> {
  const decoded = ['dense', 'int8', 'int4', 'int2', 'lloydMax4.4', 'lloydMax2.5'];
  for (const codec of decoded) if (matches(`decode ${codec}`)) yield () => decode(codec);
  for (const many of [512, 2048]) {
    if (matches(`prefill ${many}`)) yield () => prefill(many, false);
    if (matches(`gradient ${many}`)) yield () => prefill(many, true);
  }
  for (const rows of [1, 128]) {
    for (const format of ['float32', 'packed4', 'packed8'] as const) {
      if (matches(`products ${format} ${rows}`)) yield () => products(format, rows);
    }
  }
  for (const format of ['float32', 'packed8'] as const) {
    if (matches(`head ${format}`)) yield () => headProduct(format);
  }
  if (matches('eigh')) yield () => eigen();
}

function decode(codec: string): Task {
  const x = tf.randomNormal<tf.Rank.R4>([1, kvHeads, tokens, dim]);
  const queries = tf.randomNormal<tf.Rank.R4>([1, heads, 1, dim]);
  const {keys, values: stored} = benchCodecs[codec]!;
  const ofDim = (of = dim): tf.Tensor4D => (of === dim ? x : tf.slice(x, [0, 0, 0, 0], [-1, -1, -1, of]));
  const segments = Array.from({length: depths}, () => ({
    ...{keys: keys(ofDim), values: stored(ofDim)},
    ...{tokens, scale: dim ** -0.5},
  }));
  return {
    name: `decode ${codec}`,
    run: () => {
      for (const segment of segments) tf.tidy(() => void attendSegments(queries, [segment]));
    },
    dispose: () => {
      tf.dispose([x, queries]);
      for (const {keys: k, values: v} of segments) {
        for (const encoding of [k, v])
          tf.dispose(Object.values(tensorsOf(encoding)).map(({tensor}) => tensor));
      }
    },
  };
}

function prefill(many: number, gradient: boolean): Task {
  const make = (of: number) => tf.randomNormal<tf.Rank.R4>([1, of, many, dim]);
  const [q, k, v] = [make(heads), make(kvHeads), make(kvHeads)];
  const forward = () => causalAttention(q, k, v, {scale: dim ** -0.5});
  const backward = tf.grads(() => tf.sum(forward()));
  return {
    name: `${gradient ? 'gradient' : 'prefill'} ${many}`,
    run: () => {
      tf.tidy(() => {
        if (gradient) backward([q, k, v]);
        else forward();
      });
    },
    dispose: () => tf.dispose([q, k, v]),
  };
}

function products(format: WeightFormat, rows: number): Task {
  const xs = new Map([576, 1536].map(inputs => [inputs, tf.randomNormal<tf.Rank.R2>([rows, inputs])]));
  const depth = () =>
    productsOfDepth.map(({inputs, outputs}) => ({
      inputs,
      matrices: outputs.map(many => ({matrix: matrixOf(format, inputs, many)})),
    }));
  const jobs = Array.from({length: depths}, depth).flat();
  return {
    name: `products ${format} ${rows}`,
    run: () => {
      for (const {inputs, matrices} of jobs) tf.dispose(linears(xs.get(inputs)!, matrices));
    },
    dispose: () => {
      tf.dispose([...xs.values()]);
      for (const {matrices} of jobs) tf.dispose(matrices.map(({matrix}) => tensorOf(matrix)));
    },
  };
}

function headProduct(format: WeightFormat): Task {
  const x = tf.randomNormal<tf.Rank.R2>([1, 576]);
  const matrix = format === 'float32' ? tf.randomNormal([49_152, 576]) : matrixOf(format, 576, 49_152);
  return {
    name: `head ${format}`,
    run: () => {
      lmHead(x, matrix as tf.Tensor2D).dispose();
    },
    dispose: () => tf.dispose([x, tensorOf(matrix)]),
  };
}

function tensorOf(matrix: Matrix): tf.Tensor {
  return isPacked(matrix) ? matrix.records : matrix;
}

function matrixOf(format: WeightFormat, inputs: number, outputs: number): Matrix {
  if (format === 'float32') return tf.randomNormal([inputs, outputs]);
  return {format, inputs, outputs, records: randomRecords(format, inputs, outputs)};
}

function eigen(): Task {
  const x = tf.tidy(() => {
    const a = tf.randomNormal([90, dim, 128]);
    return tf.matMul<tf.Tensor3D>(a, a, false, true);
  });
  return {
    name: 'eigh 64 x 64 x 90',
    run: () => {
      tf.tidy(() => void eigh(x));
    },
    dispose: () => x.dispose(),
  };
}

async function reportReading(): Promise<void> {
  const times: number[] = [];
  for (const many of [1, threads]) {
    const {read, stop} = await sharedMemoryReader(readBytes, many);
    const each: number[] = [];
    for (let round = 0; round <= rounds; round++) each.push(await millisecondsOf(read));
    times.push(median(each.slice(1)));
    await stop();
  }
  show('read', times as [number, number]);
}

/** Both numbers of threads take turns; the first turn of each warms up. The others sleep while one does all: no work is enough to be shared. */
async function report({name, run}: Task): Promise<void> {
  const times: number[][] = [[], []];
  for (let round = 0; round <= rounds; round++) {
    for (const [i, many] of [1, threads].entries()) {
      splitting.leastWork = many === 1 ? Infinity : leastWork;
      await new Promise(resolve => setTimeout(resolve, 10)); // until threads that have no work sleep
      await run();
      for (let turn = 0; turn < 3; turn++) {
        const ms = await millisecondsOf(run);
        if (round > 0) times[i]!.push(ms);
      }
    }
  }
  show(name, times.map(median) as [number, number]);
}

async function millisecondsOf(run: Task['run']): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

function show(name: string, [one, many]: [number, number]): void {
  figures.push({name, threads, one, many, ratio: one / many});
  const speed =
    name === 'read' ? `  ${[one, many].map(ms => (readBytes / ms / 1e6).toFixed(1)).join(' and ')} GB/s` : '';
  console.log(
    `${name.padEnd(24)}${one.toFixed(2).padStart(9)} ms${many.toFixed(2).padStart(9)} ms  ${(one / many).toFixed(2)}x${speed}`,
  );
}
