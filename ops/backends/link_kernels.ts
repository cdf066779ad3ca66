import {isShared} from '../../base/shared_memory.js';

/**
 * Our kernels on a memory of any kind. They are compiled for memory of one thread; where a memory is shared (tfjs' threaded build
 * on cross-origin-isolated pages), its import has to say so.
 *
 * @param binary compiled kernels, which may be changed.
 * @throws where the engine refuses the module or the memory: WebAssembly's CompileError or LinkError, a RangeError where it
 *   compiles no module of this size at once, what a page's policy (CSP) makes of it.
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
/** How limits of a memory begin that has a maximum; and of one that is shared as well. */
const [withMaximum, sharedWithMaximum] = [1, 3];

/**
 * Makes a module that imports nothing but a memory with a maximum import a shared one, in place. (A module is a header of eight
 * bytes and sections: an id, a size, contents. WebAssembly Core Specification 5.5; shared limits: the threads proposal.)
 */
export function importSharedMemory(binary: Uint8Array): void {
  const limits = limitsOfImportedMemory(binary);
  if (limits === undefined || binary[limits] !== withMaximum) {
    throw new WebAssembly.LinkError('the kernels do not import a memory with a maximum and nothing else');
  }
  binary[limits] = sharedWithMaximum;
}

/** Where the limits of the only import begin, undefined where it is no memory. */
function limitsOfImportedMemory(binary: Uint8Array): number | undefined {
  let at = 8;
  const byte = () => binary[at++] ?? 0;
  /** An unsigned number, seven bits a byte, the lowest first (LEB128). */
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
