import * as tf from '@tensorflow/tfjs';
import {readFileSync} from 'node:fs';
import {stat} from 'node:fs/promises';
import {basename} from 'node:path';
import {median} from '../../base/statistics.js';
import {matrixOf} from '../../ops/weights/packed_variables.js';
import {embeddedText, generate, loadModel} from '../../models/index.js';
import type {WeightSetting} from '../../models/formats/weight_formats.js';
import {useBackend} from '../../ops/backends/use_backend.js';
import {wasmHeap} from '../../ops/backends/wasm_heap.js';
import {isPacked} from '../../ops/weights/matrix.js';

export interface LoadOptions {
  readonly path: string;
  /** Default: that of `loadModel`. */
  readonly weights?: WeightSetting | undefined;
  /** Tokens of the prompt, and tokens to generate. */
  readonly prompt: number;
  readonly tokens: number;
}

/** What loading a model took, and running it. Memory is resident memory of the process, in bytes. */
export interface LoadFigures {
  readonly model: string;
  readonly weights: string;
  /** Of the file. */
  readonly fileBytes: number;
  /** Of the weights in memory. */
  readonly weightBytes: number;
  /** Before loading: Node, TensorFlow.js and the started backend. */
  readonly before: number;
  readonly openMs: number;
  /** The most until the model was loaded, and after that. */
  readonly peakLoading: number;
  readonly loaded: number;
  /** The wasm heap, in bytes, which never shrinks. */
  readonly heapLoaded: number;
  readonly promptMs: number;
  readonly msPerToken: number;
  /** The most at any time, and at the end. */
  readonly peak: number;
  readonly after: number;
  readonly heapAfter: number;
}

/** Loads a model in this process, which must be a fresh one, and generates some tokens on wasm. */
export async function loadOnce({path, weights, prompt, tokens}: LoadOptions): Promise<LoadFigures> {
  await useBackend('wasm');
  tf.zeros([1]).dispose();
  const before = resident().now;
  const start = performance.now();
  const model = await loadModel(path, {weights});
  const openMs = performance.now() - start;
  const loading = resident();
  const heapLoaded = heapBytes();
  const ids = model.tokenizer.encode(await embeddedText('heldOut')).slice(0, prompt);
  const times = [performance.now()];
  for await (const id of generate(model, ids, {tokens, eosIds: []})) {
    if (!Number.isInteger(id)) throw new Error(`${id} is no token.`);
    times.push(performance.now());
  }
  const ran = resident();
  const gaps = times.slice(1).map((time, i) => time - times[i]!);
  const figures: LoadFigures = {
    model: basename(path),
    weights: weights ?? 'default',
    fileBytes: (await stat(path)).size,
    weightBytes: weightBytes(model.model),
    ...{before, openMs, peakLoading: loading.peak, loaded: loading.now, heapLoaded},
    ...{promptMs: gaps[0]!, msPerToken: median(gaps.slice(1))},
    ...{peak: ran.peak, after: ran.now, heapAfter: heapBytes()},
  };
  model.dispose();
  return figures;
}

function weightBytes(model: tf.LayersModel): number {
  return model.weights.reduce((sum, variable) => {
    const matrix = matrixOf(variable);
    return sum + 4 * (isPacked(matrix) ? matrix.records : matrix).size;
  }, 0);
}

/** Resident memory now and at its most. `resourceUsage` gives the parent's maximum on Linux if that was more. */
function resident(): {now: number; peak: number} {
  const now = process.memoryUsage.rss();
  if (process.platform !== 'linux') return {now, peak: 1024 * process.resourceUsage().maxRSS};
  const status = readFileSync('/proc/self/status', 'utf8');
  return {now, peak: 1024 * Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)![1])};
}

function heapBytes(): number {
  const tensor = tf.zeros([1]);
  const bytes = wasmHeap()?.bytes(tensor).buffer.byteLength ?? NaN;
  tensor.dispose();
  return bytes;
}
