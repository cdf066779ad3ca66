import * as tf from '@tensorflow/tfjs';
import {BackendError} from '../../base/errors.js';
import {bringToCurrentBackend} from './residence.js';
import {wasmHeap} from './wasm_heap.js';
import {webgpuPrograms} from './webgpu_programs.js';

/** What of a layer's variable is needed to give it other numbers. */
type Writable = Pick<tf.LayerVariable, 'read' | 'write'>;

/** The memory of a float32 or int32 variable while it is filled piece by piece. */
export interface OpenMemory {
  /**
   * Calls `write` with all bytes of the variable, in their present state. They must be written before it returns: the view may
   * be worthless afterwards.
   */
  withBytes(write: (bytes: Uint8Array) => void): void;
  /** Makes the bytes that were written the variable's numbers. To be called once, after the last write. */
  close(): void;
}

/**
 * Opens a variable for writing without a second copy of it: on wasm its own memory is written, on other backends an array on the host
 * that becomes its value at the end. Bytes that are not written are as before on wasm and 0 elsewhere.
 *
 * @throws BackendError if there is no memory for the array.
 */
export function openMemory(variable: Writable): OpenMemory {
  const tensor = variable.read();
  const heap = tf.getBackend() === 'wasm' ? wasmHeap() : undefined;
  if (heap !== undefined) {
    bringToCurrentBackend(tensor);
    return {
      withBytes: write => {
        write(heap.bytes(tensor));
      },
      close: () => undefined,
    };
  }
  const bytes = hostBytes(4 * tensor.size);
  return {
    withBytes: write => {
      write(bytes);
    },
    close: () => {
      const numbers =
        tensor.dtype === 'int32' ? new Int32Array(bytes.buffer) : new Float32Array(bytes.buffer);
      const filled = tf.tensor(numbers, tensor.shape, tensor.dtype);
      variable.write(filled);
      webgpuPrograms()?.upload(filled);
      filled.dispose();
    },
  };
}

function hostBytes(count: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(count);
  } catch (cause) {
    throw new BackendError(
      `There is no memory for ${count} bytes of weights. Close other programs, or take a smaller model.`,
      {cause},
    );
  }
}
