/**
 * Loads models in a process of its own and prints what became of its memory, as JSON:
 *
 *     peak FILE SETTING   the most bytes while the model is loaded above those before, and the bytes of its weights
 *     full FILE           what is thrown if the heap of wasm has no room, and what stays
 */
import {readFileSync, readdirSync, writeFileSync} from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import type {WeightSetting} from '../../../models/formats/weight_formats.js';
import {loadModel} from '../../../models/load.js';
import {useBackend} from '../../../ops/backends/use_backend.js';

/** A line of /proc/self/status, in bytes. */
function statusBytes(key: 'VmRSS' | 'VmHWM'): number {
  const [, kibibytes] = new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))!;
  return 1024 * Number(kibibytes);
}

const openFiles = () => readdirSync('/proc/self/fd').length;

async function peak(file: string, weights: WeightSetting) {
  const first = await loadModel(); // the code of loading itself
  // garbage of the first load would be used again, and not counted; so would its weights, which stay
  for (let i = 0; i < 2; i++) globalThis.gc!(); // the second waits until the buffers that the first found are freed
  const tensorsBefore = tf.memory().numBytes;
  const before = statusBytes('VmRSS');
  writeFileSync('/proc/self/clear_refs', '5'); // the peak so far becomes the present size
  const loaded = await loadModel(file, {weights});
  const bytes = statusBytes('VmHWM') - before;
  const weightBytes = tf.memory().numBytes - tensorsBefore;
  loaded.dispose();
  const left = tf.memory().numBytes - tensorsBefore;
  first.dispose();
  return {bytes, weightBytes, left};
}

/** Takes memory from tfjs' heap until it does not grow any more. */
function fillHeap(): () => void {
  const {wasm} = tf.backend() as unknown as {
    wasm: {_malloc(bytes: number): number; _free(address: number): void};
  };
  const taken: number[] = [];
  try {
    for (;;) taken.push(wasm._malloc(2 ** 24));
  } catch {
    return () => {
      for (const address of taken) wasm._free(address);
    };
  }
}

async function full(file: string) {
  (await loadModel(file)).dispose();
  const [tensors, files] = [tf.memory().numTensors, openFiles()];
  const empty = fillHeap();
  const message = await loadModel(file).then(() => 'loaded', String);
  const left = [tf.memory().numTensors - tensors, openFiles() - files];
  empty();
  const again = await loadModel(file);
  const loads = again.model.weights.length > 0;
  again.dispose();
  return {message, left, loads};
}

const [, , scenario, file = '', setting = 'asStored'] = process.argv;
await useBackend('wasm');
const result = scenario === 'peak' ? await peak(file, setting as WeightSetting) : await full(file);
console.log(JSON.stringify(result));
