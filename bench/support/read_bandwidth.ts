import {execFileSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

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
function compile(text: string): Uint8Array<ArrayBuffer> {
  const folder = mkdtempSync(join(tmpdir(), 'eigenkv-read-'));
  try {
    const [from, to] = [join(folder, 'read.ts'), join(folder, 'read.wasm')];
    writeFileSync(from, text);
    const compiler = createRequire(import.meta.url).resolve('assemblyscript/bin/asc.js');
    const flags = '-O3 --runtime stub --importMemory --noExportMemory --enable simd'.split(' ');
    execFileSync(process.execPath, [compiler, 'read.ts', '-o', to, ...flags], {
      stdio: 'inherit',
      cwd: folder,
    });
    return new Uint8Array(readFileSync(to));
  } finally {
    rmSync(folder, {recursive: true, force: true});
  }
}
