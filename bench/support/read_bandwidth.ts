import asc from 'assemblyscript/asc';

/** A loop of 16-byte loads, four sums so that no addition waits for the one before. */
const source = `
export function read(from: usize, bytes: usize): i32 {
  let a = i32x4.splat(0), b = a, c = a, d = a;
  for (const end = from + bytes; from < end; from += 64) {
    a = v128.xor(a, v128.load(from));
    b = v128.xor(b, v128.load(from, 16));
    c = v128.xor(c, v128.load(from, 32));
    d = v128.xor(d, v128.load(from, 48));
  }
  return i32x4.extract_lane(v128.xor(v128.xor(a, b), v128.xor(c, d)), 0);
}`;

/** What reads so many bytes of memory, a multiple of 64, once, as fast as one thread of WebAssembly can. */
export async function memoryReader(bytes: number): Promise<() => void> {
  const compiled = await asc.compileString(source, {
    optimizeLevel: 3,
    runtime: 'stub',
    importMemory: true,
    noExportMemory: true,
    enable: ['simd'],
  });
  if (compiled.error !== null || compiled.binary === null) {
    throw new Error('The loop that measures the read bandwidth does not compile.', {cause: compiled.error});
  }
  const pages = Math.ceil(bytes / 65536) + 1;
  const memory = new WebAssembly.Memory({initial: pages});
  new Float32Array(memory.buffer).fill(1); // pages that were never written need not be read from memory
  const binary = Uint8Array.from(compiled.binary);
  const {instance} = await WebAssembly.instantiate(binary, {env: {memory, abort: () => undefined}});
  const read = instance.exports['read'] as (from: number, bytes: number) => number;
  return () => void read(65536, bytes - 65536);
}
