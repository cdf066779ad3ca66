import * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {runsInNode} from '../../base/optional_package.js';
import {once, warnOnConsole} from '../../base/warn.js';
import {wasmHeap} from './wasm_heap.js';

/** How many threads run the kernels of the wasm backend: a number of them, or one for each core, at most `mostThreads`. */
export type Threads = number | 'all';

/** More have nothing to share in models of the size that fits tfjs' heap. */
const mostThreads = 8;

/** @throws InvalidArgumentError if it is neither 'all' nor an integer from 1 on. */
export function checkThreads(threads: Threads): Threads {
  if (threads === 'all' || (Number.isInteger(threads) && threads >= 1 && threads <= 64)) return threads;
  throw new InvalidArgumentError(`threads = ${shown(threads)}; expected 'all' or an integer from 1 to 64.`);
}

export function countOf(threads: Threads): number {
  return threads === 'all' ? Math.min(cores(), mostThreads) : threads;
}

function cores(): number {
  return runsInNode()
    ? process.getBuiltinModule('node:os').availableParallelism()
    : globalThis.navigator.hardwareConcurrency;
}

const note = once(warnOnConsole);

/** Starts or ends threads of the current wasm backend. Where there can be none, everything runs on one, and a note says why. */
export async function setThreads(threads: Threads): Promise<void> {
  const heap = wasmHeap();
  if (heap === undefined) return; // which has its own warning
  const count = countOf(threads);
  if (count > 1 && !heap.isShared) {
    note(`one thread instead of ${count}, since ${whyNotShared()}`);
    return;
  }
  await heap.setThreads(count).catch((error: unknown) => {
    note(`one thread instead of ${count}. ${(error as Error).message}`);
  });
}

function whyNotShared(): string {
  if (runsInNode()) {
    return (
      "tfjs' wasm backend started without a memory that threads can share: call useBackend('wasm', {threads}) before anything else " +
      'starts it, and without wasmPaths. Known to work: the files of tfjs-backend-wasm 4.22.'
    );
  }
  return globalThis.crossOriginIsolated
    ? "tfjs' wasm backend started without its threaded build: the page's policy has to allow workers made of Blobs (CSP: worker-src blob:)."
    : 'this page is not cross-origin isolated: it needs the headers Cross-Origin-Opener-Policy: same-origin and ' +
        'Cross-Origin-Embedder-Policy: require-corp (docs/backends/threads.md).';
}

/** Threads that run the kernels of the current backend: 1 on any backend but wasm. */
export function threadCount(): number {
  return tf.getBackend() === 'wasm' ? (wasmHeap()?.threads ?? 1) : 1;
}
