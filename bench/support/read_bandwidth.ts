import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {linkKernels} from '../../ops/backends/link_kernels.js';
import {evenRanges} from '../../ops/threads/index.js';
import {ThreadPool} from '../../ops/threads/pool.js';

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

/**
 * Makes functions that read this number of bytes (a multiple of 64 times the threads) once, shared by so many threads of a pool; and `stop`,
 * which ends it.
 */
export async function sharedMemoryReader(bytes: number, threads: number) {
  const pages = Math.ceil(bytes / 65536) + 1;
  const memory = new WebAssembly.Memory({initial: pages, maximum: 65536, shared: true});
  new Float32Array(memory.buffer).fill(1);
  const {module, instance} = linkKernels(compile(source, ['--maximumMemory', '65536']), memory);
  const pool = await ThreadPool.start({module, instance, memory, threads});
  const parts = evenRanges(bytes, threads, 64).map(({from, to}) => [65536 + from, to - from]);
  return {read: () => void pool.run({kernel: 'read', parts}), stop: () => pool.stop()};
}

/** Makes a function that reads this number of bytes (a multiple of 64) once, as fast as one thread of WebAssembly can. */
export async function memoryReader(bytes: number): Promise<() => void> {
  const binary = compile(source);
  const pages = Math.ceil(bytes / 65536) + 1;
  const memory = new WebAssembly.Memory({initial: pages});
  new Float32Array(memory.buffer).fill(1); // pages that were never written need not be read from memory
  const {instance} = await WebAssembly.instantiate(binary, {env: {memory, abort: () => undefined}});
  const read = instance.exports['read'] as (from: number, bytes: number) => number;
  return () => void read(65536, bytes - 65536);
}

/** By the compiler's command line: its types would declare AssemblyScript's own Array and more for the whole project. */
function compile(text: string, more: readonly string[] = []): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(join(tmpdir(), 'eigenkv-read-'));
  try {
    const [from, to] = [join(folder, 'read.ts'), join(folder, 'read.wasm')];
    writeFileSync(from, text);
    const compiler = createRequire(import.meta.url).resolve('assemblyscript/bin/asc.js');
    const flags = '-O3 --runtime stub --use abort= --importMemory --noExportMemory --enable simd'.split(' ');
    execFileSync(process.execPath, [compiler, 'read.ts', '-o', to, ...flags, ...more], {
      stdio: 'inherit',
      cwd: folder,
    });
    return new Uint8Array(readFileSync(to));
  } finally {
    rmSync(folder, {recursive: true, force: true});
  }
}
