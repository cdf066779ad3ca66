/**
 * Whether a buffer is shared between threads. Asked by its name: pages that are not cross-origin isolated have such buffers
 * (of a WebAssembly.Memory) and no `SharedArrayBuffer` to ask for.
 */
export function isShared(buffer: unknown): buffer is SharedArrayBuffer {
  return Object.prototype.toString.call(buffer) === '[object SharedArrayBuffer]';
}

/** The bytes themselves, or a copy if their memory is shared, which decoders, stores and files of browsers refuse. */
export function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return hasOwnMemory(bytes) ? bytes : new Uint8Array(bytes);
}

function hasOwnMemory(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return !isShared(bytes.buffer);
}
