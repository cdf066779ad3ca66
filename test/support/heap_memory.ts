import * as tf from '@tensorflow/tfjs';

/** The memory of tfjs' wasm backend, which has to be the current backend. */
export function heapMemory(): WebAssembly.Memory {
  const {wasm} = tf.backend() as unknown as {
    wasm: {wasmMemory?: WebAssembly.Memory; asm?: {memory: WebAssembly.Memory}};
  };
  return wasm.wasmMemory ?? wasm.asm!.memory;
}
