/** The first byte of the limits of a memory with a maximum, and of a shared one (the threads proposal of WebAssembly). */
const [withMaximum, sharedWithMaximum] = [1, 3];
const [importSection, memorySection] = [2, 5];
const importedMemory = 2;

/**
 * Changes a module in place that imports nothing but a memory with a maximum, so that it imports a shared one.
 *
 * @throws WebAssembly.LinkError if it is another module.
 */
export function importSharedMemory(binary: Uint8Array): void {
  const section = readSection(binary, importSection);
  let limits: number | undefined;
  if (section?.number() === 1) {
    section.skipName(); // of the module
    section.skipName(); // of the memory
    if (section.byte() === importedMemory) limits = section.at();
  }
  if (limits === undefined || binary[limits] !== withMaximum) {
    throw new WebAssembly.LinkError('the kernels do not import a memory with a maximum and nothing else');
  }
  binary[limits] = sharedWithMaximum;
}

/** Changes a module in place that has one memory of its own, with a maximum, so that it is shared. False if it is another module. */
export function defineSharedMemory(binary: Uint8Array): boolean {
  const section = readSection(binary, memorySection);
  if (section?.number() !== 1) return false;
  const limits = section.at();
  if (binary[limits] !== withMaximum) return false;
  binary[limits] = sharedWithMaximum;
  return true;
}

/** A reader at the contents of a section. (A module is a header of eight bytes and sections: an id, a size, contents. WebAssembly Core 5.5.) */
function readSection(binary: Uint8Array, wanted: number) {
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
    if (id === wanted) return {byte, number, skipName, at: () => at};
    at += size;
  }
  return undefined;
}
