import * as tf from '@tensorflow/tfjs';

/** The memory of tfjs' wasm backend, which must be current. */
export function heapMemory(): WebAssembly.Memory {
  const {wasm} = tf.backend() as unknown as {
    wasm: {wasmMemory?: WebAssembly.Memory; asm?: {memory: WebAssembly.Memory}};
  };
  return wasm.wasmMemory ?? wasm.asm!.memory;
}
