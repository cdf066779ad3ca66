/**
 * Whether a buffer is shared between threads. Asked by its name: pages that are not cross-origin isolated have such buffers
 * (of a WebAssembly.Memory) and no `SharedArrayBuffer` to ask for.
 */
export function isShared(buffer: unknown): buffer is SharedArrayBuffer {
  return Object.prototype.toString.call(buffer) === '[object SharedArrayBuffer]';
}

/** The bytes as they are, or a copy where their memory is shared: decoders, stores and files of browsers refuse such memory. */
export function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return hasOwnMemory(bytes) ? bytes : new Uint8Array(bytes);
}

function hasOwnMemory(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  return !isShared(bytes.buffer);
}
