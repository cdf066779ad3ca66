import {isShared} from '../../base/shared_memory.js';

/**
 * Our kernels on any memory. They are compiled for unshared memory; if a memory is shared (tfjs' threaded build on
 * cross-origin-isolated pages), the module's import has to declare that.
 *
 * @param binary compiled kernels, which may be changed.
 * @throws if the engine refuses the module or the memory: WebAssembly's CompileError or LinkError, a RangeError if it compiles no
 *   module of this size synchronously, or the error of a page's policy (CSP).
 */
export function linkKernels(
  binary: Uint8Array<ArrayBuffer>,
  memory: WebAssembly.Memory,
): WebAssembly.Instance {
  if (isShared(memory.buffer)) importSharedMemory(binary);
  return new WebAssembly.Instance(new WebAssembly.Module(binary), {env: {memory}});
}

const importSection = 2;
const importedMemory = 2;
/** The first byte of the limits of a memory with a maximum, and of a shared one. */
const [withMaximum, sharedWithMaximum] = [1, 3];

/**
 * Changes a module in place that imports nothing but a memory with a maximum, so that it imports a shared one. (A module is a
 * header of eight bytes and sections: an id, a size, contents. WebAssembly Core Specification 5.5; shared limits: the threads
 * proposal.)
 */
export function importSharedMemory(binary: Uint8Array): void {
  const limits = limitsOfImportedMemory(binary);
  if (limits === undefined || binary[limits] !== withMaximum) {
    throw new WebAssembly.LinkError('the kernels do not import a memory with a maximum and nothing else');
  }
  binary[limits] = sharedWithMaximum;
}

/** The index of the limits of the only import; undefined if it is not a memory. */
function limitsOfImportedMemory(binary: Uint8Array): number | undefined {
  let at = 8;
  const byte = () => binary[at++] ?? 0;
  /** An unsigned number, seven bits per byte, the lowest first (LEB128). */
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const next = byte();
      value |= (next & 0x7f) << shift;
      if (next < 0x80) return value >>> 0;
    }
  };
  const skipName = () => {
    const length = number();
    at += length;
  };
  while (at < binary.length) {
    const id = byte();
    const size = number();
    if (id !== importSection) {
      at += size;
      continue;
    }
    if (number() !== 1) return undefined;
    skipName(); // of the module
    skipName(); // of the memory
    return byte() === importedMemory ? at : undefined;
  }
  return undefined;
}
