import * as tf from '@tensorflow/tfjs';
import {BackendError, EigenkvError} from '../../base/errors.js';
import {isShared} from '../../base/shared_memory.js';
import {kernelsBinary, relaxedKernelsBinary} from './kernel_builds.js';
import {linkKernels} from './link_kernels.js';
import {hasRelaxedSimd} from './relaxed_simd.js';
import type {WasmKernels} from '../assembly/kernels.js';
import {KernelRunner, cacheLine, wholeLines} from '../threads/index.js';

/**
 * The only file that touches tfjs-backend-wasm's internals: its heap, the addresses of tensors in it, and its allocator.
 * Our kernels run on that heap, so no tensor is ever copied.
 */
export interface WasmHeap {
  /** Our compiled kernels, on tfjs' own memory. */
  readonly kernels: WasmKernels;
  /** Whether the kernels are those for relaxed SIMD, which can multiply int8 activations. */
  readonly hasRelaxedSimd: boolean;
  /** Whether threads can share this memory. */
  readonly isShared: boolean;
  /** Threads that run kernels, the calling one included: 1 unless `setThreads` started more. */
  readonly threads: number;
  /** See KernelRunner: the only way in which kernels run on several threads. */
  readonly setThreads: KernelRunner['setThreads'];
  readonly split: KernelRunner['split'];
  /** The address of a tensor's first byte. */
  address(tensor: tf.TensorInfo): number;
  /** A tensor's own memory. The view is valid until anything is allocated, since the heap may then grow. */
  bytes(tensor: tf.TensorInfo): Uint8Array;
  /** A new tensor whose values are not set. */
  output(shape: number[], dtype: 'float32' | 'int32'): tf.TensorInfo;
  /** New tensors, float32 by default, which `fill` sets; if it throws, or there is no memory for all, none is left. */
  outputs(
    shapes: readonly number[][],
    fill: (results: readonly tf.TensorInfo[]) => void,
    dtype?: 'float32' | 'int32',
  ): tf.TensorInfo[];
  /** The address of at least `bytes` bytes of scratch memory, valid until the next call. */
  scratch(bytes: number): number;
  /** Calls `use` with the address of `bytes` bytes that are freed afterwards, beside the scratch memory. */
  withBlock(bytes: number, use: (address: number) => void): void;
  /** Writes 32-bit integers, such as addresses and descriptors, to memory of their own, valid until the next call. */
  words(words: readonly number[]): number;
  /** A copy of the 32-bit integers at an address. */
  wordsAt(address: number, count: number): Int32Array;
  /** The address of 32-bit integers that belong to an object: written at the first call and freed once the object is collected. */
  table(owner: object, words: () => ArrayLike<number>): number;
}

interface TfjsWasmModule {
  _malloc(bytes: number): number;
  _free(address: number): void;
  readonly wasmMemory?: WebAssembly.Memory;
  readonly asm?: {readonly memory?: WebAssembly.Memory};
}

interface TfjsWasmBackend {
  readonly wasm: TfjsWasmModule;
  readonly dataIdMap: {get(id: object): {memoryOffset: number} | undefined};
  makeOutput(shape: number[], dtype: string): tf.TensorInfo;
  disposeData(dataId: object, force: boolean): boolean;
  dispose(): void;
}

const heaps = new WeakMap<object, WasmHeap | 'missing'>();

/**
 * The heap of the current wasm backend; undefined (with one warning) if its internals are not the known ones, or the engine does
 * not run our kernels on its memory.
 */
export function wasmHeap(): WasmHeap | undefined {
  const backend: unknown = tf.backend();
  if (typeof backend !== 'object' || backend === null) return undefined;
  let heap = heaps.get(backend);
  if (heap === undefined) {
    try {
      heap = openHeap(backend);
    } catch (error) {
      heap = 'missing';
      console.warn(
        'eigenkv: fused kernels are off and plain ops run instead (several times slower), since ' +
          `${error instanceof Error ? error.message : String(error)}. Known to work: ` +
          '@tensorflow/tfjs-backend-wasm 4.22, in engines with WebAssembly SIMD.',
      );
    }
    heaps.set(backend, heap);
  }
  return heap === 'missing' ? undefined : heap;
}

/** @throws BackendError whose message completes "since ..." if there is no usable heap. */
function openHeap(backend: object): WasmHeap {
  const hidden = 'this version of tfjs-backend-wasm hides its memory';
  if (!isTfjsWasmBackend(backend)) throw new BackendError(hidden);
  const {wasm} = backend;
  const memory = wasm.wasmMemory ?? wasm.asm?.memory;
  if (!(memory instanceof WebAssembly.Memory)) throw new BackendError(hidden);
  guardMemory(wasm, memory);
  const relaxed = hasRelaxedSimd();
  const runner = new KernelRunner({
    memory,
    ...linkKernels(relaxed ? relaxedKernelsBinary() : kernelsBinary(), memory),
  });
  endThreadsWith(backend, runner);
  const scratch = growingBlock(wasm, 1 << 17);
  const wordBlock = growingBlock(wasm, 1 << 12);
  const tables = new WeakMap<object, number>();
  const collected = new FinalizationRegistry<number>(address => wasm._free(address));
  const address = (tensor: tf.TensorInfo) => {
    const entry = backend.dataIdMap.get(tensor.dataId);
    if (entry === undefined) throw new EigenkvError('A tensor was used after it was disposed of.');
    return entry.memoryOffset >>> 0; // addresses above 2 GiB arrive as negative numbers
  };
  return {
    kernels: runner.kernels,
    hasRelaxedSimd: relaxed,
    isShared: isShared(memory.buffer),
    get threads() {
      return runner.threads;
    },
    setThreads: count => runner.setThreads(count),
    split: (kernel, parts, scratch) => runner.split(kernel, parts, scratch),
    address,
    bytes: tensor => {
      const size = tensor.shape.reduce((product, axis) => product * axis, 1);
      return new Uint8Array(memory.buffer, address(tensor), 4 * size);
    },
    output: (shape, dtype) => backend.makeOutput(shape, dtype),
    outputs: (shapes, fill, dtype = 'float32') => {
      const results: tf.TensorInfo[] = [];
      try {
        for (const shape of shapes) results.push(backend.makeOutput(shape, dtype));
        fill(results);
        return results;
      } catch (error) {
        for (const {dataId} of results) backend.disposeData(dataId, true);
        throw error;
      }
    },
    scratch,
    withBlock: (bytes, use) => {
      const address = wasm._malloc(bytes) >>> 0;
      try {
        use(address);
      } finally {
        wasm._free(address);
      }
    },
    words: words => {
      const address = wordBlock(4 * words.length);
      // a new view each time, since the heap may have grown
      new Int32Array(memory.buffer, address, words.length).set(words);
      return address;
    },
    wordsAt: (address, count) => new Int32Array(memory.buffer, address, count).slice(),
    table: (owner, words) => {
      const known = tables.get(owner);
      if (known !== undefined) return known;
      const numbers = words();
      const address = wasm._malloc(4 * numbers.length) >>> 0;
      new Int32Array(memory.buffer, address, numbers.length).set(numbers);
      tables.set(owner, address);
      collected.register(owner, address);
      return address;
    },
  };
}

/** Ends the threads when tfjs disposes of the backend. */
function endThreadsWith(backend: TfjsWasmBackend, runner: KernelRunner): void {
  const dispose = backend.dispose.bind(backend);
  backend.dispose = () => {
    void runner.end();
    dispose();
  };
}

/**
 * A block of the heap that moves if it has to grow: the address, aligned to a line of cache, of at least `bytes` bytes, and of
 * `least` from the first call on.
 */
function growingBlock(wasm: TfjsWasmModule, least: number): (bytes: number) => number {
  let allocated = 0;
  let size = 0;
  return bytes => {
    if (bytes > size) {
      if (allocated !== 0) wasm._free(allocated);
      allocated = size = 0; // if there is no memory left, the next line throws
      allocated = wasm._malloc(Math.max(bytes, least) + cacheLine) >>> 0;
      size = Math.max(bytes, least);
    }
    return wholeLines(allocated);
  };
}

/**
 * From now on an allocation that fails throws a BackendError, those of tfjs included: otherwise tfjs would take the
 * address 0 for a tensor's and overwrite the memory there.
 */
function guardMemory(wasm: TfjsWasmModule, memory: WebAssembly.Memory): void {
  wasm._free(wasm._malloc(1)); // the first call makes tfjs replace its loader by the bare function
  const malloc = wasm._malloc;
  wasm._malloc = bytes => {
    const address = bytes < 2 ** 32 ? malloc(bytes) : 0; // which would take the lower 32 bits of the number
    if (address === 0 && bytes > 0) {
      const mebibytes = (count: number) => `${Math.ceil(count / 2 ** 20)} MiB`;
      throw new BackendError(
        `tfjs' wasm heap has ${mebibytes(memory.buffer.byteLength)} and could not grow by the ${mebibytes(bytes)} that were ` +
          'asked for (4 GiB are the most it can have). Dispose of tensors, keep fewer tokens or smaller codes, or take a ' +
          'smaller model.',
      );
    }
    return address;
  };
}

function isTfjsWasmBackend(backend: object): backend is TfjsWasmBackend {
  const candidate = backend as Partial<TfjsWasmBackend>;
  return (
    typeof candidate.wasm?._malloc === 'function' &&
    typeof candidate.wasm._free === 'function' &&
    typeof candidate.dataIdMap?.get === 'function' &&
    typeof candidate.makeOutput === 'function' &&
    typeof candidate.disposeData === 'function' &&
    typeof candidate.dispose === 'function'
  );
}
